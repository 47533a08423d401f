"""Synthetic tables with planted truth: every state is a vector, every distance row a squared norm of a difference.

A state's mean is `mean(history, unlearning, step)`; its noise has standard deviation `seed_sd`, and the share `shared`
of its variance is common to all histories *and to the oracle* of a replicate, as prefixes and shared seeds make it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from retrain_equivalence.histories.history import Role, Stage
from retrain_equivalence.histories.unlearning import Phase, Unlearning
from retrain_equivalence.recipes.dataset import GeneratedDataset
from retrain_equivalence.recipes.model import TinyModel
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.probe import PredictionProbe
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import COLUMNS, typed
from retrain_equivalence.study.study import Comparison, Margin, Study

PROBE = "prediction:safety/hellinger"
STEPS = (0, 1, 2, 4, 8)


def stage(name: str, role: Role = Role.RETAIN) -> Stage:
    return Stage(
        name=name,
        role=role,
        dataset=GeneratedDataset(generated="refusals" if role is Role.FORGET else "authors", rows=8),
        training=TrainingRecipe(learning_rate=1e-3, num_train_epochs=1),
    )


def unlearning(name: str = "ga", steps: Sequence[int] = STEPS) -> Unlearning:
    return Unlearning(
        name=name,
        procedure=(
            Phase(
                objective=ObjectiveRecipe(name="ga"), training=TrainingRecipe(learning_rate=1e-4, max_steps=max(steps))
            ),
        ),
        save_at=tuple(steps),
    )


def study(
    *comparisons: Comparison,
    replicates: int = 8,
    oracle_replicates: int = 0,
    stages: Sequence[str] = ("instruct",),
    unlearnings: Iterable[Unlearning] | None = None,
    histories: Any = "forget_at_each_position",
    looks: tuple[int, ...] = (),
) -> Study:
    return Study(
        name="planted",
        question="Is the planted truth found?",
        model=TinyModel(tiny="nano"),
        stages=(*(stage(name) for name in stages), stage("safety", Role.FORGET)),
        histories=histories,
        unlearnings=tuple(unlearnings) if unlearnings is not None else (unlearning(),),
        probes=(PredictionProbe(prediction="safety"),),
        comparisons=comparisons,
        replicates=replicates,
        oracle_replicates=oracle_replicates,
        looks=looks,
    )


def asks(contrast: Any, probe: str = "prediction", **given: Any) -> Comparison:
    margin = {name: given.pop(name) for name in ("value", "times_band") if name in given}
    return Comparison(
        contrast=contrast, probe=probe, margin=Margin(rationale="planted", **margin) if margin else None, **given
    )


Mean = Callable[[str, str, int], np.ndarray]
"""(history, unlearning, step) -> mean vector [d]; oracles at step 0."""


def vectors(
    case: Study, mean: Mean, *, seed: int, d: int = 20, seed_sd: float = 1.0, shared: float = 0.5
) -> dict[StateName, np.ndarray]:
    """Draw every state of the study: mean plus the replicate's common noise plus the state's own."""
    rng = np.random.default_rng(seed)
    total = case.replicates + case.oracle_replicates
    scale = seed_sd / np.sqrt(d)
    common = rng.normal(size=(total, d)) * scale * np.sqrt(shared)
    own_scale = scale * np.sqrt(1 - shared)
    found: dict[StateName, np.ndarray] = {}
    for oracle in case.oracles():
        own = rng.normal(size=(total, d)) * own_scale
        for r in range(total):
            found[StateName(history=oracle.name, replicate=r)] = mean(oracle.name, "", 0) + common[r] + own[r]
    for history in case.all_histories():
        own = rng.normal(size=(case.replicates, d)) * own_scale
        for r in range(case.replicates):
            noise = common[r] + own[r]
            found[StateName(history=history.name, replicate=r)] = mean(history.name, "", 0) + noise
            for method in case.unlearnings:
                for step in method.steps:
                    if step:
                        name = StateName(history=history.name, replicate=r, unlearning=method.name, step=step)
                        found[name] = mean(history.name, method.name, step) + noise
    return found


def distance_rows(
    case: Study,
    states: Mapping[StateName, np.ndarray],
    *,
    probe: str = PROBE,
    test_set: str = "forget",
    unit: str = "Hellinger²",
    across_steps: bool = False,
    across_orders: bool = False,
) -> list[dict[str, Any]]:
    """Fill the distance rows exactly as the model wing does, equal-seed pairs of history and oracle included.

    Args:
        across_steps: runs of a history against runs at other steps too, as matched forgetting needs.
        across_orders: histories against the oracles of other orders too, as the excess path gap needs.
    """
    rows: list[dict[str, Any]] = []
    total = case.replicates + case.oracle_replicates

    def add(one: StateName, two: StateName) -> None:
        if one in states and two in states:
            gap = states[one] - states[two]
            rows.append(row(one, probe, test_set, float(gap @ gap), unit, against=str(two)))

    trained = [("", 0)]
    places = trained + [(m.name, step) for m in case.unlearnings for step in m.steps if step]
    histories = case.all_histories()
    oracles = [oracle.name for oracle in case.oracles()]
    for history in histories:
        for oracle in oracles if across_orders else [history.oracle().name]:
            for method, step in places:
                for r in range(case.replicates):
                    for s in range(total):
                        add(
                            StateName(history=history.name, replicate=r, unlearning=method, step=step),
                            StateName(history=oracle, replicate=s),
                        )
    for i, oracle in enumerate(oracles):
        for r, s in combinations(range(total), 2):
            add(StateName(history=oracle, replicate=r), StateName(history=oracle, replicate=s))
        for other in oracles[i + 1 :]:
            for r in range(total):
                for s in range(total):
                    if r != s:
                        add(StateName(history=oracle, replicate=r), StateName(history=other, replicate=s))
    for i, a in enumerate(histories):
        for b in histories[i:]:
            for method, step in places:
                others = [(method, step)]
                if across_steps:
                    others = [(m, t) for m, t in places if m == method or not step or not t]
                for other_method, other_step in others:
                    for r in range(case.replicates):
                        for s in range(case.replicates):
                            one = StateName(history=a.name, replicate=r, unlearning=method, step=step)
                            two = StateName(history=b.name, replicate=s, unlearning=other_method, step=other_step)
                            # Within one history each unordered pair of runs is there once.
                            if r != s and (a is not b or one < two):
                                add(one, two)
    return rows


def row(
    state: StateName,
    probe: str,
    item: str,
    value: float | None,
    unit: str,
    *,
    against: str = "",
    status: str = "ok",
) -> dict[str, Any]:
    return {
        "history": state.history, "replicate": state.replicate, "unlearning": state.unlearning, "step": state.step,
        "probe": probe, "item": item, "against": against, "value": value, "unit": unit, "status": status,
        "checkpoint": "c" * 16, "task": "t" * 16,
    }  # fmt: skip


def frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return typed(pd.DataFrame(list(rows), columns=list(COLUMNS)))


def still(shift: float = 0.0, d: int = 20) -> Mean:
    """Unlearned histories lie `shift` (squared distance) from the oracle's mean, all in one direction."""

    def mean(history: str, method: str, step: int) -> np.ndarray:
        vector = np.zeros(d)
        if "safety" in history:
            vector[0] = np.sqrt(shift)
        return vector

    return mean


def with_(case: Study, *comparisons: Comparison) -> Study:
    return replace(case, comparisons=comparisons)
