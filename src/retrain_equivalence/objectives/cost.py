"""What a method costs: forward and backward passes, counted from the forward passes that its objectives declare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from retrain_equivalence.histories.unlearning import Unlearning
from retrain_equivalence.objectives import catalogue
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.passes import ForwardPass, Split, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Passes of one optimizer step, in units of one pass over one row of the batch; `nll` is 1 forward, 1 backward."""

    forward: int = 0
    """Forward passes per row and optimizer step, >= 0."""
    backward: int = 0
    """Backward passes per row and optimizer step, >= 0."""
    once: int = 0
    """Forward passes per row of the data, >= 0, made once per start model before the first step."""

    @property
    def work(self) -> float:
        """Time of a step in units of one of `nll`, a backward pass taken as twice a forward pass."""
        return (self.forward + 2 * self.backward) / 3

    def __str__(self) -> str:
        """Return the counts in words for tables: `1 forward, 1 backward; once 1 forward`."""
        once = f"; once {self.once} forward" if self.once else ""
        return f"{self.forward} forward, {self.backward} backward{once}"


def cost_of_passes(passes: Iterable[ForwardPass]) -> Cost:
    """Return the cost of a step that reads `passes`.

    `forward = |{(split, weights)}|` over the passes that are made at every step, since signals of the same rows under
    the same weights share one pass. Made once instead are the token log-probabilities of the reference: a frozen model
    says the same of a row at every step, and one number per token can be kept, which a distribution cannot.
    `once = |{split}|` over those. `backward = |{split}|` over the passes under the policy's weights: nothing else has a
    gradient.

    A pass over other rows counts as much as one over forget rows, whatever their lengths.

    >>> from retrain_equivalence.objectives.base import POLICY_LOGPS, REFERENCE_LOGPS, TEACHER_DISTRIBUTION
    >>> print(cost_of_passes([POLICY_LOGPS, REFERENCE_LOGPS]))
    1 forward, 1 backward; once 1 forward
    >>> print(cost_of_passes([POLICY_LOGPS, TEACHER_DISTRIBUTION]))
    2 forward, 1 backward
    """
    listed = tuple(passes)
    kept = _kept_splits(listed)
    live = {(asked.split, asked.weights) for asked in listed if not asked.is_looked_up}
    return Cost(forward=len(live), backward=sum(weights is Weights.POLICY for _, weights in live), once=len(kept))


def cost_of(method: ObjectiveRecipe | Unlearning) -> Cost:
    """Return what a step of an objective costs, or of a procedure the dearest of its steps.

    Of a procedure, `forward` and `backward` are the largest over its phases, which may differ; what is made once serves
    all phases, because their reference is the same start model. A weight edit makes no pass. A replay makes none of
    this kind either: it trains whole stages again, and costs what those cost.

    Raises:
        StudyError: E-CFG-40 if an objective is unknown here, E-CFG-47 if a plug-in's source is not the locked one.

    >>> cost_of(catalogue.resolve("ga", {}, ""))
    Cost(forward=1, backward=1, once=0)
    """
    if isinstance(method, ObjectiveRecipe):
        return cost_of_passes(catalogue.passes_of(method))
    read = [catalogue.passes_of(phase.objective) for phase in method.phases]
    steps = [cost_of_passes(passes) for passes in read]
    return Cost(
        forward=max((step.forward for step in steps), default=0),
        backward=max((step.backward for step in steps), default=0),
        once=len(_kept_splits(asked for passes in read for asked in passes)),
    )


def _kept_splits(passes: Iterable[ForwardPass]) -> set[Split]:
    return {asked.split for asked in passes if asked.is_looked_up}
