"""Equal forgetting: where runs stop, and how far past the level they stand, with the level's own noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import planted
import pytest
from planted import frame, study

from retrain_equivalence.equivalence import forget_level
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

N_ITEMS = 4


def table(given: Study, runs_RTI: np.ndarray, oracles_NI: np.ndarray) -> list[dict[str, Any]]:
    """Losses of the first history by run, saved step and item; the other history stands still."""
    rows = []
    first, *others = given.all_histories()
    for r in range(given.replicates):
        for index, step in enumerate(planted.STEPS):
            state = StateName(history=first.name, replicate=r, unlearning="ga" if step else "", step=step)
            values = runs_RTI[r, index]
            rows += [planted.row(state, "forget_loss", f"i{k}", float(values[k]), "nats/token") for k in range(N_ITEMS)]
        for other in others:
            state = StateName(history=other.name, replicate=r)
            rows += [planted.row(state, "forget_loss", f"i{k}", 0.0, "nats/token") for k in range(N_ITEMS)]
    for oracle in given.oracles():
        for r, values in enumerate(oracles_NI):
            state = StateName(history=oracle.name, replicate=r)
            rows += [planted.row(state, "forget_loss", f"i{k}", float(values[k]), "nats/token") for k in range(N_ITEMS)]
    return rows


def by_hand(runs_RTI: np.ndarray, oracles_NI: np.ndarray, kept: list[int], left: list[int]) -> float:
    """Mean overshoot of some runs at the level of some oracles."""
    stopping, judging = oracles_NI[left][:, ::2].mean(), oracles_NI[left][:, 1::2].mean()
    found = []
    for r in kept:
        at = next(t for t in range(runs_RTI.shape[1]) if runs_RTI[r, t, ::2].mean() >= stopping)
        found.append(runs_RTI[r, at, 1::2].mean() - judging)
    return float(np.mean(found))


def test_overshoot_is_the_jackknife_with_both_levels_computed_again() -> None:
    given = study(replicates=6)
    rng = np.random.default_rng(1)
    runs = 1.0 + 0.3 * np.arange(5.0)[None, :, None] + rng.normal(0, 0.1, (6, 5, N_ITEMS))
    oracles = 1.7 + rng.normal(0, 0.15, (6, N_ITEMS))
    case = Case(frame(table(given, runs, oracles)), given)
    found = forget_level.overshoot(case, given.all_histories()[0].name, given.unlearnings[0])
    assert found is not None
    estimate, counts = found
    everyone = list(range(6))
    assert estimate.value == pytest.approx(by_hand(runs, oracles, everyone, everyone))
    rest = [[r for r in everyone if r != i] for i in everyone]
    without = np.array([by_hand(runs, oracles, some, some) for some in rest])
    assert estimate.se == pytest.approx(math.sqrt(5 / 6 * np.square(without - without.mean()).sum()))
    assert (estimate.n, estimate.n_oracles, counts.ok) == (6, 6, 6)


def test_a_run_that_does_not_get_there_is_censored_and_enters_no_mean() -> None:
    given = study(replicates=6)
    rng = np.random.default_rng(2)
    runs = 1.0 + 0.3 * np.arange(5.0)[None, :, None] + rng.normal(0, 0.1, (6, 5, N_ITEMS))
    runs[2] = 1.0
    oracles = 1.7 + rng.normal(0, 0.1, (6, N_ITEMS))
    case = Case(frame(table(given, runs, oracles)), given)
    first, second = (history.name for history in given.all_histories())
    found = forget_level.overshoot(case, first, given.unlearnings[0])
    assert found is not None
    estimate, counts = found
    assert estimate.value == pytest.approx(by_hand(runs, oracles, [0, 1, 3, 4, 5], list(range(6))))
    assert (estimate.n, counts.ok, counts.censored) == (5, 5, 1)
    nobody = forget_level.overshoot(case, second, given.unlearnings[0])
    assert nobody is not None and nobody[0].value is None and "no run reached" in nobody[0].undefined
