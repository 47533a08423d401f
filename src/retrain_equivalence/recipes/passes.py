"""What a forward pass is: which rows, under which weights, giving which signal.

Design. An objective lists the passes that it needs and the training loop makes exactly those. Whether a method is
*local*, needs a reference model, retain data or preferred answers is derived from this list and never declared twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Split(StrEnum):
    """Which rows a pass reads."""

    FORGET = "forget"
    RETAIN = "retain"
    PREFERRED = "preferred"


class Weights(StrEnum):
    """Under which weights: the model that is being trained, or the frozen model it started from."""

    POLICY = "policy"
    REFERENCE = "reference"


class Signal(StrEnum):
    """What the pass returns at every scored target token."""

    TOKEN_LOGPS = "token_logps"  # noqa: S105 - a signal
    LOG_DISTRIBUTION = "log_distribution"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPass:
    """One forward pass that an objective asks for."""

    split: Split = Split.FORGET
    weights: Weights = Weights.POLICY
    signal: Signal = Signal.TOKEN_LOGPS
    layer: int | None = None
    """Only for `HIDDEN`: which layer's output, 0 = embeddings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a list of passes needs, derived from it."""

    reference: bool
    retain: bool
    preferred: bool
    hidden: bool

    @classmethod
    def of(cls, passes: Iterable[ForwardPass]) -> Needs:
        """Derive the needs of `passes`."""
        listed = tuple(passes)
        return cls(
            reference=any(p.weights is Weights.REFERENCE for p in listed),
            retain=any(p.split is Split.RETAIN for p in listed),
            preferred=any(p.split is Split.PREFERRED for p in listed),
            hidden=any(p.signal is Signal.HIDDEN for p in listed),
        )

    @property
    def is_local(self) -> bool:
        """Whether only gradients on the forget set are seen (Yu et al. 2025, Definition 2.2).

        A frozen copy of the start model counts as local: it is the model itself, not further data.
        """
        return not (self.retain or self.preferred)
