"""The one way in which objectives are combined: a sum of means, each over its own rows, with a weight each.

Design. A combined method (GradDiff, NPO with a retain term, RMU, PDU) is a list of parts; the training loop knows
sums only and treats a single objective as a sum of one part. A weight is a number, or a *dual variable* that follows
the part's loss; its value then belongs to the loop's state, like every memory of the parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from retrain_equivalence.objectives.base import Memory, Objective, Remembers, check_not_negative, check_positive
from retrain_equivalence.recipes.passes import ForwardPass

if TYPE_CHECKING:
    from torch import Tensor

DUAL = "dual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dual:
    """A weight that grows while the part's loss is above a bound: `λ <- max(0, λ + η (L - ε))` after every step."""

    start: float
    """λ before the first step, >= 0."""
    rate: float
    """η, > 0, per optimizer step."""
    bound: float
    """ε, the loss that is tolerated, in the part's unit."""

    def __post_init__(self) -> None:
        check_not_negative("start", self.start)
        check_positive("rate", self.rate)
        if not abs(self.bound) < float("inf"):
            raise ValueError(f"bound must be finite, found {self.bound}")

    def after(self, value: float, loss: float) -> float:
        """Return λ after a step at which the part's loss was `loss`.

        >>> Dual(start=0.0, rate=0.5, bound=1.0).after(0.25, 2.0)
        0.75
        """
        return max(0.0, value + self.rate * (loss - self.bound))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One summand."""

    objective: Objective
    weight: float | Dual = 1.0
    """> 0, or a dual variable."""

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Dual):
            check_positive("weight", self.weight)


@dataclass(frozen=True, slots=True)
class WeightedSum:
    """`L = Σ_k w_k L_k`, every `L_k` the mean over its own tokens or sequences of the global batch.

    Parts that read the same rows under the same weights share one forward pass.

    Source: the composition that open-unlearning writes as `gamma * forget_loss + alpha * retain_loss`. Deviations: any
    number of parts; a mean over the global batch, not over micro-batch means; the constant -λε of a dual part, which
    has no gradient, is not added to the value.

    >>> from retrain_equivalence.objectives.ga import GradientAscent
    >>> from retrain_equivalence.objectives.nll import NLL
    >>> both = WeightedSum((Part(objective=GradientAscent(), weight=2.0), Part(objective=NLL())))
    >>> both.weights({}), len(both.passes)
    ((2.0, 1.0), 1)
    """

    parts: tuple[Part, ...]
    """At least one."""
    name: ClassVar[str] = "weighted_sum"

    @property
    def passes(self) -> tuple[ForwardPass, ...]:
        """What the parts read, each pass once."""
        return tuple(dict.fromkeys(asked for part in self.parts for asked in part.objective.passes))

    def init(self, seed: int, width: int) -> dict[str, Tensor]:
        """Return the state of all parts as `NUMBER/NAME`; a dual variable is `NUMBER/dual`, float64."""
        import torch

        memory: dict[str, Tensor] = {}
        for number, part in enumerate(self.parts):
            if isinstance(part.objective, Remembers):
                made = part.objective.init(seed, width)
                memory.update((f"{number}/{name}", tensor) for name, tensor in made.items())
            if isinstance(part.weight, Dual):
                memory[f"{number}/{DUAL}"] = torch.tensor(part.weight.start, dtype=torch.float64)
        return memory

    def memory_of(self, number: int, memory: Memory) -> dict[str, Tensor]:
        """Return the state of one part, under the part's own names."""
        prefix = f"{number}/"
        return {name.removeprefix(prefix): tensor for name, tensor in memory.items() if name.startswith(prefix)}

    def weights(self, memory: Memory) -> tuple[float, ...]:
        """Return the weights of the next step."""
        return tuple(
            float(memory[f"{number}/{DUAL}"]) if isinstance(part.weight, Dual) else part.weight
            for number, part in enumerate(self.parts)
        )

    def after_step(self, memory: Memory, losses: Sequence[float]) -> Mapping[str, Tensor]:
        """Return the state after a step at which the parts' losses, unweighted, were `losses`."""
        import torch

        changed = dict(memory)
        for number, (part, loss) in enumerate(zip(self.parts, losses, strict=True)):
            if isinstance(part.weight, Dual):
                name = f"{number}/{DUAL}"
                changed[name] = torch.tensor(part.weight.after(float(memory[name]), loss), dtype=torch.float64)
        return changed


@runtime_checkable
class Composition(Protocol):
    """A named method that is a sum of objectives: a frozen dataclass whose fields are the method's parameters."""

    name: ClassVar[str]
    """The name in a study file."""
    cite: ClassVar[str]
    """The BibTeX entry of the work that defined the method."""

    def composed(self) -> WeightedSum:
        """Return the sum."""
        ...


def as_sum(objective: Objective | WeightedSum) -> WeightedSum:
    """Return an objective as a sum of itself alone; a sum as it is."""
    return objective if isinstance(objective, WeightedSum) else WeightedSum((Part(objective=objective),))
