"""Which of the study's comparisons asks about a number: a verdict is read only where it was declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from retrain_equivalence.equivalence.case import Case
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Comparison, Study

PRIMARY_MEASURE = "hellinger"
"""The distance a verdict is read on unless the comparison names another one."""

Where = Literal["at_end", "at_step", "at_forget_level", "anywhere"]
STEPS: tuple[Where, Where] = ("at_end", "at_step")


def measure_of(probe: str) -> str:
    """Return what stands after the slash of a probe's name; empty if there is none."""
    return probe.partition("/")[2]


def names(wanted: str, probe: str, *, distance: bool) -> bool:
    """Whether a comparison's `probe` means this probe: its full name, its name without the measure, or its kind.

    Short forms of a distance mean its primary measure only: five distances with one margin would be five verdicts.

    >>> names("prediction", "prediction:safety/hellinger", distance=True)
    True
    >>> names("prediction", "prediction:safety/squared_l2", distance=True)
    False
    """
    if wanted == probe:
        return True
    base = probe.partition("/")[0]
    if wanted not in (base, base.partition(":")[0]):
        return False
    return not distance or measure_of(probe) == PRIMARY_MEASURE


def asked(study: Study, contrast: str, probe: str, where: Where, *, distance: bool) -> list[Comparison]:
    """Return the comparisons that ask for this contrast of this probe here, in declared order.

    `at_each_step` covers the end too; `anywhere` is for contrasts that have no step of their own.
    """
    covering = {
        "at_end": ("at_end", "at_each_step"),
        "at_step": ("at_each_step",),
        "at_forget_level": ("at_forget_level",),
        "anywhere": ("at_end", "at_each_step", "at_forget_level"),
    }[where]
    return [
        comparison
        for comparison in study.comparisons
        if comparison.contrast == contrast
        and comparison.alignment in covering
        and (contrast == "recency" or names(comparison.probe, probe, distance=distance))
    ]


def along(
    case: Case, contrast: str, probe: str, test_set: str, unlearning: Unlearning
) -> Iterator[tuple[int, Where, list[Comparison]]]:
    """Yield the saved steps of an unlearning: each with its alignment and the comparisons that ask for it.

    The last step is there if it was recorded or a comparison asks for it, which then gets its reason in place of a
    number.

    Args:
        case: study and table.
        contrast: whose comparisons.
        probe: full name.
        test_set: of a distance; empty for a scalar.
        unlearning: its saved steps.
    """
    last, steps = case.last(unlearning), case.steps(probe, test_set or None, unlearning)
    asking = {where: asked(case.study, contrast, probe, where, distance=bool(test_set)) for where in STEPS}
    if last not in steps and asking["at_end"]:
        steps = [*steps, last]
    for step in steps:
        where = STEPS[step != last]
        yield step, where, asking[where]
