"""Sharing and scheduling change nothing: equal bytes whichever way a study is run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_study
from small_study import Finished

from retrain_equivalence.core.seeds import Seeds
from retrain_equivalence.data.ingest import ingest
from retrain_equivalence.execution import api
from retrain_equivalence.models.base import base_files, open_files
from retrain_equivalence.models.weights import to_safetensors, weights_of
from retrain_equivalence.training.determinism import prepare


@pytest.mark.parametrize("order", [("facts", "sums", "safety"), ("safety", "facts", "sums"), ("facts", "sums")])
@pytest.mark.parametrize("replicate", [0, 1])
def test_a_history_from_shared_prefixes_is_that_trained_straight_through(
    tmp_path: Path, finished: Finished, order: tuple[str, ...], replicate: int
) -> None:
    """By hand: base, data, seeds and loop, without plan, keys, store or bodies."""
    prepare(1)
    study = small_study.small()
    seeds = Seeds(study=study.seed, replicate=replicate)
    files = base_files(study.model, seed=seeds.stream("init"), tokenizer_text=None, study_dir=tmp_path, offline=True)
    model, codec = open_files(files, study.model)
    stages = {stage.name: stage for stage in study.stages}
    for name in order:
        stage = stages[name]
        dataset = ingest(stage.dataset, api.Runtime(study_dir=tmp_path).locations)
        small_study.train_by_hand(model, codec, stage, dataset, seeds)
    label = f"train {'>'.join(order)} r{replicate}"
    key = next(task.key for task in finished.plan.tasks if task.label == label)
    assert to_safetensors(weights_of(model)) == finished.store.get(key).read("model.safetensors")


def test_processes_give_the_bytes_of_one_process(tmp_path: Path, finished: Finished) -> None:
    out = small_study.run_small(tmp_path, workers=2)
    assert small_study.digests(tmp_path) == small_study.digests(finished.root)
    assert small_study.answers(out) == small_study.answers(finished.out)


def test_running_again_trains_nothing_and_writes_the_same(finished: Finished) -> None:
    objects = finished.root / "store" / "objects"
    before = {path: path.stat().st_mtime_ns for path in objects.rglob("*")}
    again = small_study.run_small(finished.root, name="again")
    assert {path: path.stat().st_mtime_ns for path in objects.rglob("*")} == before
    assert small_study.answers(again) == small_study.answers(finished.out)


def test_probes_change_nothing_that_is_trained(tmp_path: Path, finished: Finished) -> None:
    small_study.run_small(tmp_path, "probes=[]", "comparisons=[]")
    bare = small_study.digests(tmp_path, small_study.TRAINED)
    assert bare == small_study.digests(finished.root, small_study.TRAINED)
    assert len(bare) == finished.plan.count("base") + finished.plan.count("stage") + finished.plan.count("unlearn")


def test_a_part_first_and_the_rest_later_is_the_whole(tmp_path: Path, finished: Finished) -> None:
    """A smaller study first: its objects are the larger one's, and what is added comes out as if made alone."""
    small_study.run_small(
        tmp_path, "replicates=1", "unlearnings=[{name: ga, objective: ga, save_at: [0, 2, 4]}]", name="part"
    )
    part = small_study.digests(tmp_path, small_study.TRAINED)
    out = small_study.run_small(tmp_path)
    assert small_study.answers(out) == small_study.answers(finished.out)
    whole = small_study.digests(finished.root)
    assert part.items() < whole.items()


def test_results_depend_on_neither_place_nor_name_of_anything(tmp_path: Path, finished: Finished) -> None:
    """Another working folder, store, results folder, hash seed, time zone and locale, in a process of its own."""
    elsewhere = tmp_path / "another place"
    elsewhere.mkdir()
    (elsewhere / "renamed.yaml").write_bytes(small_study.FILE.read_bytes())
    command = [sys.executable, "-m", "retrain_equivalence", "run", "renamed.yaml", "--workers", "0"]
    subprocess.run(
        [*command, "--store", "../a store", "--out", "deep/er"], cwd=elsewhere, check=True, capture_output=True,
        env=os.environ | {"PYTHONHASHSEED": "4", "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert small_study.answers(elsewhere / "deep" / "er") == small_study.answers(finished.out)


def test_the_sample_order_of_a_stage_is_the_same_wherever_it_stands(finished: Finished) -> None:
    orders: dict[tuple[str, str], set[int]] = {}
    for planned in finished.plan.planned.values():
        if planned.task.kind == "stage":
            replicate = planned.task.label.rpartition(" ")[2]
            orders.setdefault((planned.spec.data, replicate), set()).add(planned.spec.order_seed)
    assert all(len(seeds) == 1 for seeds in orders.values())
    assert len({next(iter(seeds)) for seeds in orders.values()}) == len(orders)


def test_every_object_is_whole(finished: Finished) -> None:
    assert list(finished.store.verify()) == []
    assert {m.kind for m in finished.store.manifests()} == {
        "base", "cells", "dataset", "distance", "label", "probe", "stage", "unlearn",
    }  # fmt: skip
    assert set(finished.plan.planned) == set(small_study.digests(finished.root)) - set(
        finished.inputs.dataset_keys().values()
    )


def test_no_two_states_are_equal_that_should_differ(finished: Finished) -> None:
    """Replicates, histories and unlearnings each move the weights: nothing is trained in name only."""
    weights = {}
    for task in finished.plan.tasks:
        if task.kind == "stage":
            weights[task.label] = hashlib.sha256(finished.store.get(task.key).read("model.safetensors")).hexdigest()
        if task.kind == "unlearn":
            for step in (2, 4):
                data = finished.store.get(task.key).read(f"step-{step:06d}.model.safetensors")
                weights[f"{task.label} {step}"] = hashlib.sha256(data).hexdigest()
    assert len(set(weights.values())) == len(weights)
