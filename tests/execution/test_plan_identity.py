"""Identities that a plan must keep: seeds by content, givens that stand for something, probes at odd steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import planned

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.execution.specs import DistanceSpec, StageSpec, UnlearnSpec


def test_a_shuffled_control_is_unlearned_on_the_same_batches() -> None:
    plan = planned("histories=shuffle_only", "replicates=1")
    runs = [item.spec for item in plan.planned.values() if isinstance(item.spec, UnlearnSpec)]
    by_objective: dict[str, set[int]] = {}
    for run in runs:
        by_objective.setdefault(run.objective.name, set()).add(run.order_seed)
    assert len({run.end for run in runs}) == 2
    assert all(len(seeds) == 1 for seeds in by_objective.values())


def test_the_trained_stages_of_a_shuffled_control_differ_in_their_batches() -> None:
    plan = planned("histories=shuffle_only", "replicates=1")
    seeds = [item.spec.order_seed for item in plan.planned.values() if isinstance(item.spec, StageSpec)]
    assert len(set(seeds)) == len(seeds)


def test_level_items_are_cut_where_the_stage_cuts_them() -> None:
    plan = planned("training.max_length=100", "unlearning_training.max_length=120", "replicates=1")
    runs = [item.spec for item in plan.planned.values() if isinstance(item.spec, UnlearnSpec)]
    assert {(run.level_max_length, run.training.max_length) for run in runs} == {(100, 120)}


def test_a_given_that_stands_for_no_state_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"not read while planning")
    first = planned().study.all_histories()[0]
    wrong = ", ".join(reversed([stage.name for stage in first.stages]))
    with pytest.raises(StudyError, match="E-CFG-36"):
        planned("histories=[" + str([s.name for s in first.stages]).replace("'", "") + "]",
                f"given=[{{history: [{wrong}], path: {folder}}}]")  # fmt: skip


def test_a_prediction_probe_at_step_0_alone_compares_trained_states_only() -> None:
    plan = planned("probes=[{prediction: safety, at: [0]}]", "comparisons=[]", "replicates=1", "oracle_replicates=1")
    tasks = [item.spec for item in plan.planned.values() if isinstance(item.spec, DistanceSpec)]
    assert [task.unlearning for task in tasks] == [""]
