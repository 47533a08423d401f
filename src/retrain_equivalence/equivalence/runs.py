"""How many of the registered runs stand behind a number, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.equivalence.measurements import CENSORED, FAILED, MISSING, OK, UNSCORED, Floats, Pairs

_REASONS = (CENSORED, FAILED, UNSCORED)
"""Which reason is given first where a run has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """Counts over the registered replicates; they add up to `registered`."""

    ok: int
    censored: int
    failed: int
    unscored: int
    missing: int
    lost_pairs: int = 0
    """Distances between runs that do count which are not there."""
    lost_oracles: int = 0
    """Oracles that are registered and are not in a level that the runs are compared at."""

    @property
    def registered(self) -> int:
        """All of them."""
        return self.ok + self.censored + self.failed + self.unscored + self.missing

    def incomplete(self) -> str:
        """Return why no verdict may rest on these runs, as one sentence; empty if all are there."""
        if self.censored:
            return (
                f"{self.censored} of {self.registered} runs stopped being finite or did not reach the level: "
                "the others alone are not the outcome of the method"
            )
        if self.failed or self.unscored:
            return (
                f"{self.failed} of {self.registered} runs failed and {self.unscored} are unscored: "
                "the others alone may be a selection"
            )
        if self.missing:
            return f"interim: {self.missing} of {self.registered} registered runs are not in the table"
        if self.lost_pairs:
            return f"{self.lost_pairs} distances between runs are missing, failed or unscored"
        if self.lost_oracles:
            return f"{self.lost_oracles} oracles have no forget loss: the level of the others alone may be a selection"
        return ""


def count(codes: Sequence[int]) -> RunCounts:
    """Return the counts of one status code per registered replicate."""
    return RunCounts(
        ok=codes.count(OK),
        censored=codes.count(CENSORED),
        failed=codes.count(FAILED),
        unscored=codes.count(UNSCORED),
        missing=codes.count(MISSING),
    )


def status_of_scalars(states_N: NDArray[np.uint8], replicates: int, censored: set[int]) -> list[int]:
    """Return one code per registered replicate; a run that stopped being finite is censored whatever its rows say."""
    return [CENSORED if r in censored else int(states_N[r]) for r in range(replicates)]


def status_of_pairs(
    pairs: Pairs, replicates: int, others: int, censored: set[int], *, columns: bool = False
) -> tuple[list[int], int]:
    """Return one code per registered replicate of a distance's rows, and how many distances those that count have lost.

    A run counts if it has a distance to any other replicate.

    Args:
        pairs: the distances.
        replicates: registered replicates of the rows.
        others: registered replicates of the columns.
        censored: replicates that have stopped being finite.
        columns: judge the columns instead.
    """
    states = (pairs.states_NN.T if columns else pairs.states_NN)[:replicates, :others]
    apart = ~np.eye(replicates, others, dtype=bool)
    # Nearly always everything is there, and this is asked for thousands of matrices.
    if not censored and bool(((states == OK) | ~apart).all()) and others > 1:
        return [OK] * replicates, 0
    codes: list[int] = []
    lost = 0
    for r in range(replicates):
        row = states[r][apart[r]]
        if r in censored:
            codes.append(CENSORED)
        elif (row == OK).any():
            codes.append(OK)
            lost += int((row != OK).sum())
        else:
            codes.append(next((code for code in _REASONS if (row == code).any()), MISSING))
    return codes, lost


def lost_in(values_RR: Floats, codes: Sequence[int]) -> int:
    """Return how many numbers between two different replicates that count are not there, each pair twice.

    Args:
        values_RR: what was computed from all distances between replicates r and s; nan where one is missing.
        codes: of each replicate.
    """
    counted = np.array(codes) == OK
    wanted_RR = counted[:, None] & counted[None, :] & ~np.eye(len(codes), dtype=bool)
    return int((wanted_RR & ~np.isfinite(values_RR[: len(codes), : len(codes)])).sum())


def worse(one: Sequence[int], two: Sequence[int]) -> list[int]:
    """Return the code of a pair of runs: OK only if both are; otherwise the first reason that either has."""
    order = (*_REASONS, MISSING, OK)
    return [min(pair, key=order.index) for pair in zip(one, two, strict=True)]
