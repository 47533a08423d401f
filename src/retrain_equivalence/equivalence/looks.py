"""Looks: when a table may be judged before all registered replicates are in it, and at which error rate.

Every look is one more chance of an error: five unadjusted ones make 15 % false detections of a nominal 5. A study
therefore declares its looks beforehand and the error rate is spent over them; a table that is no declared look is
interim, and its verdicts are INCONCLUSIVE. P-values of no effect are given at the registered end alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from retrain_equivalence.equivalence import spending
from retrain_equivalence.equivalence.finding import ALPHA
from retrain_equivalence.records.columns import Columns

if TYPE_CHECKING:
    from retrain_equivalence.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The look at which a table is judged; the last one is the registered end."""

    number: int
    """From 1 to `of`."""
    of: int
    n: int
    """Replicates in the table."""
    registered: int
    """Replicates of the study."""
    alpha: float
    """One-sided level of this look."""
    oracle_replicates: int
    """Oracle-only replicates in the table."""

    @property
    def is_last(self) -> bool:
        """Whether all registered replicates are there."""
        return self.number == self.of

    def says(self) -> str:
        """Return the sentence that is added to what is judged here."""
        what = "the registered end" if self.is_last else f"interim look {self.number} of {self.of}"
        return f"{what}, n = {self.n} of {self.registered}, each bound at one-sided {100 * self.alpha:.3g} %"

    def of_study(self, study: Study) -> Study:
        """Return the study that this table is complete for."""
        return replace(study, replicates=self.n, oracle_replicates=self.oracle_replicates)


def look_at(study: Study, rows: Columns) -> Look | None:
    """Return the declared look that a table is; null without declared looks, or where the table is none of them.

    The replicates of a table are those of its unlearned states; they must be 0 to n - 1, so that nobody chose them.
    """
    if not study.looks or not len(rows):
        return None
    unlearned = np.array([name != "" for name in rows.names["unlearning"]])[rows.codes["unlearning"]]
    there = np.unique(rows.codes["replicate"][unlearned])
    n = len(there)
    stops = (*study.looks, study.replicates)
    if n not in stops or there.tolist() != list(range(n)):
        return None
    number = stops.index(n)
    return Look(
        number=number + 1,
        of=len(stops),
        n=n,
        registered=study.replicates,
        alpha=spending.levels(study.looks, study.replicates, ALPHA)[number],
        oracle_replicates=study.oracle_replicates if n == study.replicates else _replicates(rows) - n,
    )


def _replicates(rows: Columns) -> int:
    """Return how many replicates the rows name, oracle-only ones and those that stand in `against` alone included."""
    highest = int(rows.codes["replicate"].max())
    for code in np.unique(rows.codes["against"]):
        # A table cut out of a larger one may still name what it no longer holds.
        number = rows.names["against"][code].partition("@")[0].rpartition("#")[2]
        highest = max(highest, int(number) if number.isdigit() else 0)
    return highest + 1
