"""What a probe is: it reads one model and yields one value per item, never only a mean."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from retrain_equivalence.core.units import Unit
from retrain_equivalence.records.table import Status

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from retrain_equivalence.data.example import Example
    from retrain_equivalence.models.codec import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured: a model, and how text becomes its tokens."""

    model: PreTrainedModel
    """In evaluation mode; a probe changes nothing in it."""
    codec: Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemValue:
    """One value of one item."""

    measure: str
    """What was measured, as the table's `probe` column names it: `forget_score:safety/label`."""
    item: str
    """The row's id; never its text."""
    value: float | None
    """The value, or null with a reason in `status`."""
    unit: Unit
    status: Status = Status.OK

    @classmethod
    def of(cls, measure: str, item: str, value: float, unit: Unit) -> ItemValue:
        """Return the value, or an unscored one if it is nan or infinite: the model has left the numbers."""
        if math.isfinite(value):
            return cls(measure=measure, item=item, value=value, unit=unit)
        return cls(measure=measure, item=item, value=None, unit=unit, status=Status.UNSCORED)


class Probe(Protocol):
    """A measurement of one state."""

    def measure(self, subject: Subject) -> Iterator[ItemValue]:
        """Measure `subject`; deterministic, and without any effect on the model or on global random state."""
        ...


def choose_items(examples: Sequence[Example], items: int) -> tuple[Example, ...]:
    """Return at most `items` of `examples`: the first ones in the order of the SHA-256 of their ids.

    A fixed subset that depends on ids alone: it is the same for every state, and growing `items` only adds to it.

    Args:
        examples: candidates, in any order, with distinct ids.
        items: how many at most, >= 1.
    """
    return tuple(sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())[:items])
