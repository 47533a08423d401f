"""Adapters through a whole study: carried or merged, and always fresh for unlearning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_study
import torch
from small_study import Finished

from retrain_equivalence.core.identity import Key
from retrain_equivalence.core.seeds import Seeds
from retrain_equivalence.execution import api
from retrain_equivalence.execution.specs import StageSpec, UnlearnSpec
from retrain_equivalence.models.base import base_files, open_files
from retrain_equivalence.models.lora import adapter_weights, attach, merge
from retrain_equivalence.models.weights import from_safetensors, to_safetensors, weights_of
from retrain_equivalence.recipes.model import LoraTuning
from retrain_equivalence.store.local import LocalStore
from retrain_equivalence.training.determinism import prepare

ONE = ("histories=[[facts, sums, safety]]", "replicates=1", "oracle_replicates=1")


def tuned(across: str) -> tuple[str, ...]:
    return (*ONE, f"model.tuning={{lora: {{rank: 4, alpha: 8, across_stages: {across}}}}}")


@pytest.fixture(scope="module", params=["carried", "merged"])
def adapted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Finished]:
    across = str(request.param)
    root = tmp_path_factory.mktemp(across)
    out = small_study.run_small(root, *tuned(across))
    plan, inputs = small_study.api.plan(
        small_study.small(*tuned(across)), small_study.api.Runtime(study_dir=small_study.FOLDER)
    )
    return across, Finished(root=root, out=out, plan=plan, inputs=inputs)


def find(run: Finished, label: str) -> Key:
    return next(task.key for task in run.plan.tasks if task.label == label)


def test_equal_to_training_straight_through(tmp_path: Path, adapted: tuple[str, Finished]) -> None:
    across, run = adapted
    prepare(1)
    study = run.plan.study
    assert isinstance(study.model.tuning, LoraTuning)
    lora, seeds = study.model.tuning.lora, Seeds(study=study.seed, replicate=0)
    files = base_files(study.model, seed=seeds.stream("init"), tokenizer_text=None, study_dir=tmp_path, offline=True)
    plain, codec = open_files(files, study.model)
    model = attach(plain, lora, seeds.stream("adapter")) if across == "carried" else plain
    for stage in study.stages:
        dataset = run.inputs.datasets[stage.name]
        if across == "merged":
            model = attach(model, lora, seeds.stream("adapter", dataset.digest))
        small_study.train_by_hand(model, codec, stage, dataset, seeds)
        if across == "merged":
            model = merge(model)
    stored = run.store.get(find(run, "train facts>sums>safety r0"))
    if across == "carried":
        assert stored.read("adapter.safetensors") == to_safetensors(adapter_weights(model))
        assert "model.safetensors" not in stored.manifest.files
    else:
        assert stored.read("model.safetensors") == to_safetensors(weights_of(model))


def test_every_state_differs_from_the_base_and_from_each_other(adapted: tuple[str, Finished]) -> None:
    from retrain_equivalence.execution.states import States

    _, run = adapted
    states = States(store=run.store, plan=run.plan, model_recipe=run.plan.study.model, inputs=run.inputs)
    seen: list[torch.Tensor] = []
    for planned in run.plan.planned.values():
        spec, key = planned.spec, planned.task.key
        if isinstance(spec, StageSpec):
            asked = [(key, spec.base, None)]
        elif isinstance(spec, UnlearnSpec):
            asked = [(key, spec.base, step) for step in (2, 4)]
        else:
            continue
        for state, base, step in asked:
            model, _ = states.merged(state, base, step)
            seen.append(torch.cat([w.detach().flatten().clone() for w in weights_of(model).values()]))
            model, _ = states.merged(base, base)
            assert not torch.equal(
                seen[-1], torch.cat([w.detach().flatten() for w in weights_of(model).values()])
            ), planned.task.label  # fmt: skip
    assert len(seen) == 3 + 2 + 2 * 2
    assert not any(torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_the_unlearning_adapter_is_fresh_and_the_same_for_every_objective(adapted: tuple[str, Finished]) -> None:
    _, run = adapted
    specs = [p.spec for p in run.plan.planned.values() if isinstance(p.spec, UnlearnSpec)]
    stages = [p.spec for p in run.plan.planned.values() if isinstance(p.spec, StageSpec)]
    assert len({spec.adapter_seed for spec in specs}) == 1
    assert {spec.adapter_seed for spec in specs}.isdisjoint(spec.adapter_seed for spec in stages)
    found = run.store.get(find(run, "unlearn facts>sums>safety ga r0"))
    assert set(found.manifest.files) == {
        "about.json", "log.json", "trajectory.json",
        "step-000002.adapter.safetensors", "step-000004.adapter.safetensors",
    }  # fmt: skip
    # A fresh adapter has B = 0; after two steps at a rate of 1e-3 no entry can have moved further than 2e-3.
    early = from_safetensors(found.path("step-000002.adapter.safetensors"))
    b_weights = [w for name, w in early.items() if "lora_B" in name]
    assert b_weights
    assert all(w.abs().max() <= 2.1e-3 for w in b_weights)
    assert any(w.abs().max() > 0 for w in b_weights)


def test_the_adapter_is_carried_or_anew_as_the_study_says(adapted: tuple[str, Finished]) -> None:
    across, run = adapted
    seeds = {
        p.task.label: p.spec.adapter_seed
        for p in run.plan.planned.values()
        if isinstance(p.spec, StageSpec) and p.task.label.endswith("r0")
    }
    assert len(set(seeds.values())) == (1 if across == "carried" else len(seeds))


def test_full_unlearning_of_an_adapted_history(tmp_path: Path) -> None:
    """`tuning: full` in an unlearning works on the merged end model and keeps all weights."""
    overrides = (*tuned("carried"), "probes=[{answer_logprob: facts, items: 2}]", "comparisons=[]",
                 "unlearnings=[{name: ga, objective: ga, tuning: full}]")  # fmt: skip
    small_study.run_small(tmp_path, *overrides)
    plan = small_study.planned(*overrides)
    key = next(task.key for task in plan.tasks if task.kind == "unlearn")
    assert "step-000004.model.safetensors" in LocalStore(tmp_path / "store").get(key).manifest.files


STILL = "learning_rate=1e-44"
"""Below the least float32 that is not flushed: every step is taken and nothing moves."""


def test_a_stage_that_moves_no_tensor_of_its_adapter_fails(tmp_path: Path) -> None:
    overrides = (*tuned("carried"), "probes=[]", "comparisons=[]", f"stages.sums.{STILL}")
    found = api.run(
        small_study.small(*overrides), store=LocalStore(tmp_path / "store"), out=tmp_path / "out",
        runtime=api.Runtime(workers=0, study_dir=small_study.FOLDER, offline=True),
    )  # fmt: skip
    # facts>sums#0 carries the adapter of facts on, and it did not move there; the oracle's replicates fail alike.
    assert {problem.code for problem in found.failed} == {"E-RUN-07"}
    assert all("train facts>sums r" in problem.place for problem in found.failed)
    assert found.exit_code == 8


def test_an_unlearning_records_whether_its_adapter_moved(tmp_path: Path) -> None:
    overrides = (*tuned("merged"), "probes=[]", "comparisons=[]", f"unlearnings.npo.{STILL}")
    small_study.run_small(tmp_path, *overrides)
    store = LocalStore(tmp_path / "store")
    moved = {
        task.label.split()[2]: json.loads(store.get(task.key).read("about.json"))["moved"]
        for task in small_study.planned(*overrides).tasks
        if task.kind == "unlearn"
    }
    assert moved == {"ga": True, "npo": False}
