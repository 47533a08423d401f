"""Estimates: from the store's own rates, from a measurement, or honestly unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_study
from small_study import Finished

from retrain_equivalence.execution import api
from retrain_equivalence.execution.estimate import estimate, measured_rate
from retrain_equivalence.execution.power import power_lines
from retrain_equivalence.execution.state_size import weight_shapes
from retrain_equivalence.store.local import LocalStore
from retrain_equivalence.store.memory import MemoryStore


def test_an_empty_store_knows_nothing(finished: Finished) -> None:
    found = estimate(finished.plan, MemoryStore(), workers=2)
    assert found.wall is None
    assert found.basis == "no rates yet"
    assert {entry.kind: entry.cached for entry in found.kinds} == dict.fromkeys(
        ("base", "stage", "unlearn", "probe", "cells", "distance", "label"), 0
    )


def test_a_finished_study_takes_no_more_time_and_no_more_disk(finished: Finished) -> None:
    found = estimate(finished.plan, finished.store, workers=2)
    assert found.wall == 0
    assert all(entry.cached == entry.tasks and entry.seconds == entry.disk == 0 for entry in found.kinds)


def test_a_larger_study_is_estimated_from_what_is_done(finished: Finished) -> None:
    larger = small_study.planned("replicates=4", "oracle_replicates=2")
    one, two = (estimate(larger, finished.store, workers=workers) for workers in (1, 2))
    assert one.wall is not None
    assert two.wall is not None
    assert one.wall > 0
    assert one.wall == 2 * two.wall
    stages = next(entry for entry in one.kinds if entry.kind == "stage")
    assert stages.tasks - stages.cached == larger.count("stage") - finished.plan.count("stage")
    assert stages.disk is not None
    assert stages.disk > 0


def test_a_measurement_gives_a_time_before_anything_was_run(finished: Finished) -> None:
    rate = measured_rate(finished.plan.study, finished.inputs, api.Runtime(study_dir=small_study.FOLDER, workers=0))
    assert rate > 0
    found = estimate(finished.plan, MemoryStore(), workers=1, rate=rate)
    assert found.wall is not None
    assert "probes not included" in found.basis


def test_power_is_part_of_an_estimate(finished: Finished) -> None:
    assert estimate(finished.plan, MemoryStore(), workers=1).power == power_lines(finished.plan.study)


@pytest.mark.parametrize("tuning", ["full", "{lora: {rank: 4, alpha: 8}}"])
def test_disk_from_shapes_is_what_a_run_then_takes(tmp_path: Path, tuning: str) -> None:
    """Within the headers of the files and the logs, which are small beside the weights of a real model."""
    overrides = (*small_study.BARE, f"model.tuning={tuning}", "unlearnings=[{name: ga, objective: ga}]")
    plan = small_study.planned(*overrides)
    shapes = weight_shapes(plan.study.model, small_study.FOLDER)
    expected = {e.kind: e for e in estimate(plan, MemoryStore(), workers=1, shapes=shapes).kinds}
    small_study.run_small(tmp_path, *overrides)
    store = LocalStore(tmp_path / "store")
    for kind in ("base", "stage", "unlearn"):
        taken = sum(
            size for m in store.manifests(kind) for name, (size, _) in m.files.items() if name.endswith(".safetensors")
        )
        assert expected[kind].disk_from_shapes
        assert expected[kind].disk == pytest.approx(taken, rel=0.05 if tuning == "full" else 0.35)
    assert not any(e.disk_from_shapes for e in estimate(plan, store, workers=1, shapes=shapes).kinds)
