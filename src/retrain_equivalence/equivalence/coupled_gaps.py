"""Gaps between states of equal draws: a table of its own, so that only `growth` can read them.

Coupled distances describe and never judge, which is why `Measurements` drops them. The rows named `gap/...` are coupled
on purpose: a rate of parting is of two runs that share everything but their order. They are kept apart from every other
distance, by probe name and by class.

Legend: R replicates of the study.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.records.state_name import StateName

PREFIX = "gap/"
"""How the names of coupled measurements begin."""

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """One coupled gap: a row's state, the other one, and what was found."""

    probe: str
    test_set: str
    one: StateName
    against: str
    value: float
    """Nan unless the status is ok."""
    status: int
    """A code of `measurements`."""


class CoupledGaps:
    """Path gaps by pair of histories and replicate; seed gaps by history and pair of replicates.

    Args:
        rows: coupled rows in any order.
        replicates: R; at a declared look, gaps of later replicates are not read.
        everything: replicates that the table may name, R or more.

    Raises:
        InputError: E-DATA-57 if `against` is not the name of a state, or of one that is not coupled to the row's: of
            another step or unlearning, or equal in neither or both of history and replicate.
    """

    def __init__(self, rows: Iterable[GapRow], replicates: int, everything: int) -> None:
        self.R = replicates
        self._everything = everything
        self._path: dict[tuple[str, str, str, int, frozenset[str]], tuple[Floats, Codes]] = {}
        self._seed: dict[tuple[str, str, str, int, str], tuple[Floats, Codes]] = {}
        self._steps: dict[tuple[str, str, str], set[int]] = {}
        for row in rows:
            self._add(row)
        self.probes = sorted({(probe, test_set) for probe, test_set, _ in self._steps})

    def _add(self, row: GapRow) -> None:
        try:
            two = StateName.parse(row.against)
        except ValueError as found:
            raise InputError.of(
                "E-DATA-57", "rows.parquet", f"'against': {found}", "write history#replicate@unlearning:step"
            ) from None
        one = row.one
        alike = (one.unlearning, one.step) == (two.unlearning, two.step)
        inside = max(one.replicate, two.replicate) < self._everything
        if not alike or not inside or (one.history == two.history) == (one.replicate == two.replicate):
            raise InputError.of(
                "E-DATA-57",
                "rows.parquet",
                f"'{row.probe}' is between {one} and {two}, which are not coupled",
                "a gap is between two histories of one replicate or two replicates of one history, at one step",
            )
        if max(one.replicate, two.replicate) >= self.R:
            return
        self._steps.setdefault((row.probe, row.test_set, one.unlearning), set()).add(one.step)
        place = (row.probe, row.test_set, one.unlearning, one.step)
        if one.replicate == two.replicate:
            values, codes = self._path.setdefault((*place, frozenset((one.history, two.history))), _nothing((self.R,)))
            values[one.replicate], codes[one.replicate] = row.value, row.status
            return
        values, codes = self._seed.setdefault((*place, one.history), _nothing((self.R, self.R)))
        for r, s in ((one.replicate, two.replicate), (two.replicate, one.replicate)):
            values[r, s], codes[r, s] = row.value, row.status

    def steps(self, probe: str, test_set: str, unlearning: str) -> list[int]:
        """Return the steps > 0 of an unlearning at which there is a gap, ascending."""
        return sorted(self._steps.get((probe, test_set, unlearning), set()))

    def path(self, probe: str, test_set: str, a: str, b: str, unlearning: str, step: int) -> tuple[Floats, Codes]:
        """Return gap and status of two histories by replicate, [R]; step 0 is the trained ends."""
        place = (probe, test_set, unlearning if step else "", step, frozenset((a, b)))
        return self._path.get(place) or _nothing((self.R,))

    def seed(self, probe: str, test_set: str, history: str, unlearning: str, step: int) -> tuple[Floats, Codes]:
        """Return gap and status of one history by pair of replicates, [R, R], symmetric; step 0 is the trained ends."""
        place = (probe, test_set, unlearning if step else "", step, history)
        return self._seed.get(place) or _nothing((self.R, self.R))


def _nothing(shape: tuple[int, ...]) -> tuple[Floats, Codes]:
    return np.full(shape, np.nan), np.zeros(shape, dtype=np.uint8)
