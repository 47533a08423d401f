"""The row of a number between two states."""

from __future__ import annotations

from retrain_equivalence.execution.specs import Snapshot
from retrain_equivalence.records.table import Row, Status


def pair_row(
    one: Snapshot, two: Snapshot, *, probe: str, item: str, value: float | None, unit: str, present: bool
) -> Row:
    """Return the row of `one`, whose `against` is `two`.

    Args:
        one: the state that the row is of.
        two: the other one.
        probe: full name.
        item: test set, or what else is compared.
        value: null where there is none: the pair is unscored then.
        unit: of the value.
        present: whether both states were reached with finite numbers; the pair is censored if not.
    """
    return Row(
        history=one.name.history,
        replicate=one.name.replicate,
        unlearning=one.name.unlearning,
        step=one.name.step,
        probe=probe,
        item=item,
        against=str(two.name),
        value=value,
        unit=unit,
        status=Status.CENSORED if not present else Status.UNSCORED if value is None else Status.OK,
        checkpoint=one.state[:16],
    )
