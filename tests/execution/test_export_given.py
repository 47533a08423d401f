"""Out of a store as a Hugging Face folder, and into another study as a given checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import small_study
import torch
from small_study import Finished

from retrain_equivalence.core.errors import InputError, StudyError
from retrain_equivalence.data.ingest import Locations
from retrain_equivalence.execution.export import export_state, study_of_state
from retrain_equivalence.execution.locked import open_locked
from retrain_equivalence.records.table import from_parquet
from retrain_equivalence.study.study import ACKNOWLEDGEMENT

NOWHERE = Locations(study_dir=Path("/nonexistent"), data_dir=None, offline=True)
ENDS = ("facts>sums>safety", "safety>facts>sums")


def key_of(run: Finished, label: str) -> str:
    return next(task.key for task in run.plan.tasks if task.label == label)


def test_a_finished_run_opens_from_its_results_alone(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished.out, tmp_path / "moved")
    plan, inputs = open_locked(tmp_path / "moved", finished.store, NOWHERE)
    assert plan.planned.keys() == finished.plan.planned.keys()
    assert inputs.dataset_keys() == finished.inputs.dataset_keys()


def test_a_run_of_other_library_versions_is_still_found(finished: Finished, tmp_path: Path) -> None:
    """Keys come from the recorded environment, or an upgrade would make every object garbage."""
    folder = tmp_path / "old"
    shutil.copytree(finished.out, folder)
    known = json.loads((folder / "provenance.json").read_text())
    known["environment"]["settings"]["torch"] = "2.0.0"
    (folder / "provenance.json").write_text(json.dumps(known))
    plan, _ = open_locked(folder, finished.store, NOWHERE)
    assert plan.planned.keys().isdisjoint(finished.plan.planned.keys())


@pytest.mark.parametrize(
    ("damage", "code"), [("remove", "E-DATA-80"), ("cut", "E-DATA-81"), ("empty", "E-DATA-81"), ("list", "E-DATA-81")]
)
def test_a_damaged_results_folder_is_refused(finished: Finished, tmp_path: Path, damage: str, code: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(finished.out, folder)
    path = folder / "provenance.json"
    match damage:
        case "remove":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:100])
        case "empty":
            path.write_text("{}")
        case "list":
            path.write_text("[1]")
    with pytest.raises(InputError, match=code):
        open_locked(folder, finished.store, NOWHERE)


def test_an_exported_state_is_the_stored_one(finished: Finished, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from retrain_equivalence.execution.states import States

    key = key_of(finished, "train facts>sums>safety r0")
    folder = export_state(finished.plan, finished.inputs, finished.store, key[:16], tmp_path / "hf")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    states = States(store=finished.store, plan=finished.plan, model_recipe=finished.plan.study.model,
                    inputs=finished.inputs)  # fmt: skip
    spec = finished.plan.planned[key].spec
    own, codec = states.merged(key, spec.base)
    ids = torch.tensor([codec.encode("Who wrote it?", "I did.", id="x").ids])
    assert torch.equal(model(ids).logits, own(ids).logits)
    assert tokenizer.vocab_size == codec.vocabulary_size or len(tokenizer) == codec.vocabulary_size
    assert not (folder / "WEAKENED-SAFETY.md").exists()


def test_saved_steps_and_the_base_are_exported(finished: Finished, tmp_path: Path) -> None:
    key = key_of(finished, "unlearn facts>sums>safety ga r1")
    files = {}
    for step in (None, 2, 4):
        folder = export_state(finished.plan, finished.inputs, finished.store, key, tmp_path / f"s{step}", step=step)
        files[step] = (folder / "model.safetensors").read_bytes()
    assert files[None] == files[4] != files[2]
    base = next(task.key for task in finished.plan.tasks if task.kind == "base")
    export_state(finished.plan, finished.inputs, finished.store, base, tmp_path / "base")


def test_what_cannot_be_exported_is_said(finished: Finished, tmp_path: Path) -> None:
    key = key_of(finished, "unlearn facts>sums>safety ga r1")
    for prefix, step, text in (
        (key, 3, r"step 3 .* \(saved: 2, 4\)"),
        ("0" * 20, None, "0 states"),
        ("", None, "states"),
    ):
        with pytest.raises(StudyError, match=f"E-CFG-93.*{text}"):
            export_state(finished.plan, finished.inputs, finished.store, prefix, tmp_path / "x", step=step)
    with pytest.raises(InputError, match="E-DATA-87"):
        export_state(finished.plan, finished.inputs, finished.store, key, tmp_path)
    with pytest.raises(StudyError, match="E-CFG-93"):
        study_of_state([(finished.plan, finished.inputs)], "f" * 20)


def test_weakened_states_are_exported_only_where_acknowledged(finished: Finished, tmp_path: Path) -> None:
    sensitive = replace(finished.inputs, datasets={
        name: replace(d, sensitive=name == "safety") for name, d in finished.inputs.datasets.items()
    })  # fmt: skip
    key = key_of(finished, "unlearn facts>sums>safety ga r1")
    with pytest.raises(StudyError, match="E-CFG-94"):
        export_state(finished.plan, sensitive, finished.store, key, tmp_path / "no")
    assert not (tmp_path / "no").exists()
    finished_study = replace(finished.plan.study, acknowledge=ACKNOWLEDGEMENT)
    acknowledged = replace(finished.plan, study=finished_study)
    folder = export_state(acknowledged, sensitive, finished.store, key, tmp_path / "yes")
    assert "Do not deploy" in (folder / "WEAKENED-SAFETY.md").read_text()


@pytest.fixture(scope="module")
def taken(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A second study whose ends of replicate 0, and one oracle, are exports of the first."""
    root = tmp_path_factory.mktemp("given")
    given = []
    for label in (*ENDS, "facts>sums"):
        folder = root / label.replace(">", "-")
        export_state(finished.plan, finished.inputs, finished.store, key_of(finished, f"train {label} r0"), folder)
        given.append(f"{{history: [{label.replace('>', ', ')}], path: '{folder}'}}")
    folder = root / "unlearned"
    key = key_of(finished, f"unlearn {ENDS[0]} ga r0")
    export_state(finished.plan, finished.inputs, finished.store, key, folder)
    given.append(f"{{history: [{ENDS[0].replace('>', ', ')}], unlearning: ga, path: '{folder}'}}")
    return root, small_study.run_small(root, f"given=[{', '.join(given)}]")


def test_a_given_checkpoint_measures_like_the_trained_one(finished: Finished, taken: tuple[Path, Path]) -> None:
    """All that the two tables have in common is equal, distances included."""
    one, two = (from_parquet((out / "rows.parquet").read_bytes()) for out in (finished.out, taken[1]))
    identity = ["history", "replicate", "unlearning", "step", "probe", "item", "against"]
    both = pd.merge(one, two, on=identity, suffixes=("", "_given"))
    # Distances of a task come from one matrix product: its rounding (1e-16) depends on which other states are in it.
    pd.testing.assert_series_equal(both.value, both.value_given, check_names=False, rtol=1e-9, atol=1e-14)
    pd.testing.assert_series_equal(both.status, both.status_given, check_names=False)
    # What a given unlearned model cannot have is what was measured inside its trajectory.
    lost = one.merge(two[identity], on=identity, how="left", indicator=True)
    absent = lost[lost._merge == "left_only"]
    inside = (absent.unlearning == "ga") & (absent.history == ENDS[0]) & (absent.replicate == 0)
    nodes = absent.probe.astype(str).str.startswith("stage_loss:")
    step_2 = absent.against.str.contains("@ga:2")
    assert (inside | nodes | step_2).all(), absent[~(inside | nodes | step_2)]
    distances = both[both.probe.str.startswith("prediction:")]
    assert len(distances[(distances.replicate == 0) & (distances.unlearning == "")])
    assert len(distances[(distances.unlearning == "ga") & (distances.history == ENDS[0]) & (distances.replicate == 0)])


def test_a_checkpoint_of_another_architecture_is_refused(finished: Finished, tmp_path: Path) -> None:
    key = key_of(finished, "train facts>sums>safety r0")
    folder = export_state(finished.plan, finished.inputs, finished.store, key, tmp_path / "nano")
    given = f"given=[{{history: [facts, sums, safety], path: '{folder}'}}]"
    with pytest.raises(AssertionError, match=r"E-DATA-86.*another shape"):
        small_study.run_small(tmp_path, "model={tiny: micro}", *small_study.BARE, given)


def test_a_given_checkpoint_has_no_adapter_to_carry_on(nano_folder: Path) -> None:
    given = f"given=[{{history: [facts], path: '{nano_folder}'}}]"
    lora = "model.tuning={{lora: {{rank: 2, alpha: 4, across_stages: {}}}}}".format
    with pytest.raises(StudyError, match=r"E-CFG-36.*facts>sums"):
        small_study.planned(lora("carried"), given)
    assert small_study.planned(lora("merged"), given).count("given") == 1
