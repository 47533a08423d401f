"""What an objective is: a pure function from observed forward passes to a sum and a count.

Design. An objective never sees a model, a data set or a random generator. It lists the forward passes that it reads;
the training loop makes exactly those and hands over what came out. It returns a *sum* over tokens or over sequences and
how many there were, never a mean: the loop divides by the count over the whole global batch, so that neither padding
nor the split into micro-batches can move the loss.

    passes ──► training loop ──► Seen ──► objective(seen) ──► Terms(total, count, per) ──► total / count over the batch

Legend: B sequences (rows) of a micro-batch, T token positions, padding included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from retrain_equivalence.core.errors import RunError
from retrain_equivalence.recipes.passes import ForwardPass, Signal, Split, Weights

if TYPE_CHECKING:
    from torch import Tensor

POLICY_LOGPS = ForwardPass()
"""Log-probabilities of the rows' target tokens under the model that is being trained."""

REFERENCE_LOGPS = ForwardPass(weights=Weights.REFERENCE)
"""The same under the frozen model that training started from."""

PREFERRED_LOGPS = ForwardPass(split=Split.PREFERRED)
"""The same as the first for the preferred answers to the forget prompts, row by row in the forget rows' order."""

RETAIN_LOGPS = ForwardPass(split=Split.RETAIN)
"""The same for rows of stages that are kept."""

POLICY_DISTRIBUTION = ForwardPass(signal=Signal.LOG_DISTRIBUTION)
"""Log-probabilities of the whole vocabulary in place of every target of the forget rows."""

REFERENCE_DISTRIBUTION = ForwardPass(weights=Weights.REFERENCE, signal=Signal.LOG_DISTRIBUTION)
"""The same under the start model."""

TEACHER_DISTRIBUTION = ForwardPass(weights=Weights.TEACHER, signal=Signal.LOG_DISTRIBUTION)
"""The same under the base model, which all histories have in common."""


Memory = Mapping[str, "Tensor"]
"""An objective's state by name: part of the loop's state, so an interrupted run resumes with it."""


class Per(StrEnum):
    """What a loss is a mean over."""

    TOKEN = "token"  # noqa: S105 - a loss is no password
    """Every scored target token of the global batch weighs the same."""
    SEQUENCE = "sequence"
    """Every row of the global batch that has a scored target weighs the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one forward pass returned."""

    values_BT: Tensor
    """What the pass's signal says at the scored targets, anything at all elsewhere: log-probabilities in nats, shape
    [B, T]; distributions and logits, [B, T, V]; hidden states, [B, T, D]."""
    mask_BT: Tensor
    """Whether the position is a scored target, bool, shape [B, T]."""
    targets_BT: Tensor | None = None
    """Token ids of the scored targets, int64, shape [B, T], anything in [0, V) elsewhere; given with distributions and
    logits."""

    def labels_BT1(self) -> Tensor:
        """Return the target ids with a last dimension of one, for `gather` and `scatter`.

        Raises:
            ValueError: if the signal comes without them.
        """
        if self.targets_BT is None:
            raise ValueError("this signal comes without token ids: read distributions or logits")
        return self.targets_BT.unsqueeze(-1)

    def sequence_sums_B(self) -> Tensor:
        """Return the sum over each row's scored targets, shape [B]; 0 for a row without any.

        Values outside the mask take no part, not even if they are nan, and get the gradient 0.
        """
        # masked_fill and not a product with the mask: 0 * nan is nan, in the value and in the gradient.
        return self.values_BT.masked_fill(~self.mask_BT, 0.0).sum(dim=1)

    def tokens_B(self) -> Tensor:
        """Return how many scored targets each row has, int64, shape [B]."""
        return self.mask_BT.sum(dim=1)


class Seen(Mapping[ForwardPass, Observed]):
    """The passes that an objective declared, and no others: `seen[POLICY_LOGPS].values_BT`.

    Args:
        observed: what each pass returned; passes outside `declared` are hidden.
        declared: the objective's `passes`.
        name: the objective's name, for the message.
        memory: the state of an objective that has one (see `Remembers`), constant within a step.

    Raises:
        RunError: E-RUN-03 at `seen[p]` for a pass that is not declared.
    """

    __slots__ = ("_name", "_observed", "memory")

    def __init__(
        self,
        observed: Mapping[ForwardPass, Observed],
        *,
        declared: tuple[ForwardPass, ...],
        name: str = "",
        memory: Memory | None = None,
    ) -> None:
        self.memory: Memory = memory or {}
        self._observed = {asked: observed[asked] for asked in declared if asked in observed}
        self._name = name

    def __getitem__(self, asked: ForwardPass) -> Observed:
        found = self._observed.get(asked)
        if found is None:
            raise RunError.of(
                "E-RUN-03",
                self._name and f"objective {self._name}",
                f"reads {asked}, a forward pass that it does not declare",
                "add it to `passes`: what is local, and what a loss costs, is derived from that list",
            )
        return found

    def __iter__(self) -> Iterator[ForwardPass]:
        return iter(self._observed)

    def __len__(self) -> int:
        return len(self._observed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One micro-batch's part of a loss; the loss is the sum of totals over the sum of counts of the global batch."""

    total: Tensor
    """Sum of the loss's terms, in nats (times the objective's own factors), shape [], differentiable."""
    count: int
    """How many tokens or sequences the total sums over, >= 0."""
    per: Per
    """Which of the two."""


@runtime_checkable
class Objective(Protocol):
    """A loss to minimise. Implementations are frozen dataclasses whose fields are the loss's parameters."""

    name: ClassVar[str]
    """The name in a study file."""
    per: ClassVar[Per]
    """What the loss is a mean over; the loop counts the denominator with it before any forward pass."""
    cite: ClassVar[str]
    """The BibTeX entry of the work that defined the loss."""

    @property
    def passes(self) -> tuple[ForwardPass, ...]:
        """The forward passes that `__call__` reads, each once; a class variable, unless a parameter decides."""
        ...

    def __call__(self, seen: Seen) -> Terms:
        """Return the terms of one micro-batch."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """An objective with a state of its own, made once before the first step: RMU's direction."""

    def init(self, seed: int, width: int) -> Memory:
        """Return the state.

        Args:
            seed: of what is drawn, 0 <= seed < 2**63; equal for every history and objective of a replicate.
            width: of the model's hidden states.
        """
        ...


def counted_split(objective: Objective) -> Split:
    """Return the rows whose tokens or sequences an objective's mean is over: the forget rows if it reads any.

    Otherwise the preferred answers if it reads those, otherwise the retain rows.
    """
    read = {asked.split for asked in objective.passes}
    return next(split for split in (Split.FORGET, Split.PREFERRED, Split.RETAIN) if split in read)


def token_terms(losses_BT: Tensor, observed: Observed) -> Terms:
    """Return the sum of one loss per token over the scored targets; what stands elsewhere takes no part.

    Args:
        losses_BT: one loss per position, finite at the scored targets, shape [B, T].
        observed: whose mask says which positions are scored.
    """
    total = losses_BT.masked_fill(~observed.mask_BT, 0.0).sum()
    return Terms(total=total, count=int(observed.mask_BT.sum()), per=Per.TOKEN)


def sequence_terms(losses_B: Tensor, observed: Observed) -> Terms:
    """Return the sum of one loss per row over the rows that have a scored target.

    Args:
        losses_B: one loss per row, finite, shape [B].
        observed: whose mask says which rows are sequences at all.
    """
    present_B = observed.mask_BT.any(dim=1)
    return Terms(total=losses_B.masked_fill(~present_B, 0.0).sum(), count=int(present_B.sum()), per=Per.SEQUENCE)


def check_positive(name: str, value: float) -> None:
    """Raise `ValueError` unless 0 < value < infinity."""
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{name} must be a finite number above 0, found {value}")


def check_not_negative(name: str, value: float) -> None:
    """Raise `ValueError` unless 0 <= value < infinity."""
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{name} must be a finite number of at least 0, found {value}")
