"""Runs: one number, and where they were logged the items behind it, for each model that somebody evaluated.

The run is the unit of every interval. Items are nested in it: they say what kind of thing differs, never how sure one
is.

Legend: R runs of a group, I items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence.measurements import Floats

MOST_NAMED = 3
"""How many items a message names."""


class Group(StrEnum):
    """What was done to the models of a group."""

    UNLEARNED = "unlearned"
    RETRAINED = "retrained"
    BEFORE = "before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One evaluated model."""

    name: str
    """The file, or the name in the table's column `run`."""
    value: float | None
    """The metric of this run; null if it was logged as null or as not a number."""
    items: Mapping[str, float | None] = field(default_factory=dict)
    """Item -> value of the metric; empty where no items were logged."""
    truth_ratios: Mapping[str, float | None] = field(default_factory=dict)
    """Item -> truth ratio on the forget set, what `forget_quality` is computed from; empty where it was not logged."""
    logged_forget_quality: float | None = None
    """The KS p-value that was logged, against whichever retain log was given then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The runs of all groups for one metric."""

    metric: str
    unlearned: tuple[Run, ...]
    retrained: tuple[Run, ...]
    before: tuple[Run, ...] = ()

    def of(self, group: Group) -> tuple[Run, ...]:
        """Return the runs of a group."""
        return {Group.UNLEARNED: self.unlearned, Group.RETRAINED: self.retrained, Group.BEFORE: self.before}[group]


def values_of(runs: Sequence[Run]) -> Floats:
    """Return the metric of the runs that have one, [R]."""
    return np.array([run.value for run in runs if run.value is not None], dtype=float)


def matrix_of(items: Sequence[Mapping[str, float | None]], names: Sequence[str]) -> tuple[Floats, int]:
    """Return the values of the items that every run has, [R, I], and how many items some run left undefined.

    Args:
        items: item -> value, one mapping for each run; all empty where no items were logged.
        names: of the runs, for messages.

    Raises:
        InputError: E-DATA-145 if two runs were evaluated on different items: their laws cannot be compared.
    """
    known = set(items[0]) if items else set()
    for name, found in zip(names, items, strict=True):
        if set(found) != known:
            odd = sorted(set(found) ^ known, key=_by_number)
            raise InputError.of(
                "E-DATA-145",
                name,
                f"has {len(found)} items and {names[0]} has {len(known)}; not in both: {', '.join(odd[:MOST_NAMED])}"
                + (f" and {len(odd) - MOST_NAMED} more" if len(odd) > MOST_NAMED else ""),
                "evaluate all runs on the same rows",
            )
    listed = sorted(known, key=_by_number)
    values_RI = np.array(
        [[np.nan if (value := found[item]) is None else value for item in listed] for found in items], dtype=float
    ).reshape(len(items), len(listed))
    defined_I = np.isfinite(values_RI).all(axis=0)
    return values_RI[:, defined_I], int((~defined_I).sum())


def _by_number(item: str) -> tuple[int, str]:
    """Order items as numbers where they are numbers."""
    return (int(item), "") if item.isdecimal() else (-1, item)
