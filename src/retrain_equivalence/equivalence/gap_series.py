"""Coupled gaps over the saved steps of an unlearning, on the scales where slopes are taken.

A gap without a ceiling is read on the log scale, one with a ceiling c on the logit scale, log(g / (c - g)): there the
growth of a small gap is the same as on the log scale, and a gap that comes near its ceiling is not slowed by it. What
is 0, or at its ceiling, has neither; all that it enters is undefined, since leaving it out would leave out the
histories that came together.

Legend: R replicates, T saved steps, G pairs of histories or histories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.coupled_gaps import Codes
from retrain_equivalence.equivalence.measurements import MISSING, OK, Floats
from retrain_equivalence.equivalence.runs import worse

CEILINGS = {"gap/hellinger": 1.0}
"""Largest value of the measures that have one."""
NO_GAPS = "undefined: no replicate has a gap at every saved step"
OFF_SCALE = "undefined: a gap of exactly 0, or at its ceiling, has no logarithm: {off} of {gaps} are"


@dataclass(frozen=True, slots=True, kw_only=True)
class GapSeries:
    """Gaps [G, T, R] of pairs of histories, or [G, T, R, R] of pairs of replicates, and the runs behind them."""

    values: Floats
    """Nan where there is no gap."""
    ceiling: float | None
    """The measure's largest value; null if it has none."""
    names: tuple[tuple[str, str], ...]
    """The two histories of each entry of G; twice the same for seed gaps."""
    codes_G: tuple[list[int], ...]
    """Status of each replicate over all steps, for each entry of G."""

    @classmethod
    def of_paths(cls, case: Case, probe: str, test_set: str, unlearning: str, steps: Sequence[int]) -> GapSeries:
        """Read every pair of unlearned histories that share their sample order."""
        R, read = case.table.R, case.table.coupled.path
        # Histories in another sample order differ by more than the order of their stages.
        order = {history.name: history.shuffle for history in case.unlearned}
        pairs = tuple((a, b) for a, b in case.pairs if order.get(a) == order.get(b))
        found = [[read(probe, test_set, a, b, unlearning, step) for step in steps] for a, b in pairs]
        values = np.array([[values for values, _ in series] for series in found])
        return cls(
            values=values.reshape(len(found), len(steps), R),
            ceiling=CEILINGS.get(probe),
            names=pairs,
            codes_G=tuple(reduce(worse, [states.tolist() for _, states in series]) for series in found),
        )

    @classmethod
    def of_seeds(cls, case: Case, probe: str, test_set: str, unlearning: str, steps: Sequence[int]) -> GapSeries:
        """Read every unlearned history."""
        R, read = case.table.R, case.table.coupled.seed
        found = [[read(probe, test_set, h.name, unlearning, step) for step in steps] for h in case.unlearned]

        def codes(states_RR: Codes) -> list[int]:
            # A run is as good as the best of its pairs: the other one of a bad pair has done nothing wrong.
            apart = [[int(states_RR[r, s]) for s in range(R) if s != r] for r in range(R)]
            return [OK if OK in row else max(row, default=0) for row in apart]

        values = np.array([[values for values, _ in series] for series in found])
        return cls(
            values=values.reshape(len(found), len(steps), R, R),
            ceiling=CEILINGS.get(probe),
            names=tuple((h.name, h.name) for h in case.unlearned),
            codes_G=tuple(reduce(worse, [codes(states) for _, states in series]) for series in found),
        )

    def only(self, index: int) -> GapSeries:
        """Return the series of one entry of G alone."""
        return replace(
            self,
            values=self.values[index : index + 1],
            names=(self.names[index],),
            codes_G=(self.codes_G[index],),
        )

    @property
    def codes(self) -> list[int]:
        """Status of each replicate over all of G and T; MISSING where there is nothing at all."""
        return reduce(worse, self.codes_G) if self.codes_G else [MISSING] * self.values.shape[-1]

    @property
    def off_scale(self) -> int:
        """Gaps that have no logarithm."""
        at_top = self.values >= self.ceiling if self.ceiling is not None else np.zeros(self.values.shape, dtype=bool)
        return int(((self.values <= 0) | at_top).sum())

    @property
    def undefined(self) -> str:
        """Why there is no number, where there is none."""
        if not self.off_scale:
            return NO_GAPS
        return OFF_SCALE.format(off=self.off_scale, gaps=int(np.isfinite(self.values).sum()))

    def weighted(self, weights_T: Floats, *, log: bool = False) -> Floats:
        """Return weighted sums over steps of the scaled gaps, then means over G, [R] or [R, R].

        A replicate, or pair of replicates, that lacks a step lacks it for every number, so that all of them are of the
        same runs: nan. All are nan if any gap is off the scale.

        Args:
            weights_T: one weight per step; they sum to 0 for slopes.
            log: on the log scale, whether there is a ceiling or not.
        """
        if self.off_scale or not len(self.values):
            return np.full(self.values.shape[2:], np.nan)
        scaled = np.log(self.values)
        if self.ceiling is not None and not log:
            scaled = scaled - np.log(self.ceiling - self.values)
        whole = np.isfinite(scaled).all(axis=(0, 1))
        found = np.einsum("gt...,t->g...", np.where(whole, scaled, 0.0), weights_T).mean(axis=0)
        return np.where(whole, found, np.nan)

    def last_share(self) -> float | None:
        """Return the mean gap at the last step as a share of the ceiling; null without a ceiling or without gaps."""
        if self.ceiling is None or not len(self.values):
            return None
        whole = np.isfinite(self.values).all(axis=(0, 1))
        return float(self.values[:, -1][:, whole].mean() / self.ceiling) if whole.any() else None


def slope_weights(times_T: Floats, inside_T: Sequence[bool]) -> Floats:
    """Return weights whose sum with a series is its least-squares slope over the chosen steps.

    `w_t = (t - mean t) / sum (t - mean t)^2` inside, 0 outside.

    >>> slope_weights(np.array([0.0, 5.0, 10.0]), [False, True, True]).tolist()
    [0.0, -0.2, 0.2]
    """
    inside = np.asarray(inside_T, dtype=bool)
    centred = np.where(inside, times_T - times_T[inside].mean(), 0.0)
    slope: Floats = centred / float(np.square(centred).sum())
    return slope
