"""What a forward pass is: which rows, under which weights, giving which signal.

Design. An objective lists the passes that it needs and the training loop makes exactly those. Whether a method is
*local*, needs a reference model, retain data or preferred answers is derived from this list and never declared twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum


class Split(StrEnum):
    """Which rows a pass reads."""

    FORGET = "forget"
    RETAIN = "retain"
    PREFERRED = "preferred"


class Weights(StrEnum):
    """Under which weights: the model that is being trained, or a frozen one."""

    POLICY = "policy"
    REFERENCE = "reference"
    """The history's own end model, from which unlearning started."""
    TEACHER = "teacher"
    """One model for all histories of a replicate: the base model that they were trained from."""


class Signal(StrEnum):
    """What the pass returns at every scored target token."""

    TOKEN_LOGPS = "token_logps"  # noqa: S105 - a signal
    """The target's log-probability."""
    LOG_DISTRIBUTION = "log_distribution"
    """The log-probabilities of the whole vocabulary in the target's place."""
    LOGITS = "logits"
    """The same before normalisation; only peers' variants read them, since a constant added to all moves nothing."""
    HIDDEN = "hidden"
    """The residual stream after a layer, where the target token is read in (not where it is predicted)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPass:
    """One forward pass that an objective asks for."""

    split: Split = Split.FORGET
    weights: Weights = Weights.POLICY
    signal: Signal = Signal.TOKEN_LOGPS
    layer: int | None = None
    """Only for `HIDDEN`: which layer's output, 0 = embeddings."""

    def __post_init__(self) -> None:
        if (self.layer is not None) != (self.signal == Signal.HIDDEN) or (self.layer or 0) < 0:
            raise ValueError(f"a layer >= 0 belongs to hidden states and to nothing else, found {self.layer}")

    @property
    def is_looked_up(self) -> bool:
        """Whether it is made once per start model and not at every step: the reference's token log-probabilities.

        A frozen model says the same of a row at every step. One number per token can be kept; a distribution cannot.
        """
        return self.weights == Weights.REFERENCE and self.signal == Signal.TOKEN_LOGPS

    def __str__(self) -> str:
        of_layer = "" if self.layer is None else f":{self.layer}"
        return f"{self.split}/{self.weights}/{self.signal}{of_layer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an unlearning method needs besides the forget rows and the model itself, derived from what it declares."""

    reference: bool = False
    """A frozen copy of the history's own end model."""
    teacher: bool = False
    """The base model."""
    retain: bool = False
    """Rows of stages that are kept."""
    preferred: bool = False
    """Other answers to the forget prompts."""
    hidden: bool = False
    """Hidden states: the model cannot be a black box."""
    history: bool = False
    """States from before the forget stage, and the data of later stages."""

    @classmethod
    def of(cls, passes: Iterable[ForwardPass]) -> Needs:
        """Derive the needs of `passes`."""
        listed = tuple(passes)
        return cls(
            reference=any(p.weights is Weights.REFERENCE for p in listed),
            teacher=any(p.weights is Weights.TEACHER for p in listed),
            retain=any(p.split is Split.RETAIN for p in listed),
            preferred=any(p.split is Split.PREFERRED for p in listed),
            hidden=any(p.signal is Signal.HIDDEN for p in listed),
        )

    def __or__(self, other: Needs) -> Needs:
        """Return the needs of doing both."""
        return Needs(**{item.name: getattr(self, item.name) or getattr(other, item.name) for item in fields(self)})

    @property
    def is_local(self) -> bool:
        """Whether only gradients on the forget set are seen (Yu et al. 2025, Definition 2.2).

        A frozen copy of the start model counts as local: it is the model itself, not further data. A teacher does not:
        it is another model, and it is the same for every history.
        """
        return not (self.teacher or self.retain or self.preferred or self.history)

    def names(self) -> tuple[str, ...]:
        """Return what is needed, in words for tables; `forget` is always first."""
        return ("forget", *(item.name for item in fields(self) if getattr(self, item.name)))
