"""What is refused after the data are read and before any task: models, sizes, probes, rows; each at its field."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small_study

from retrain_equivalence.core.errors import InputError, Problem
from retrain_equivalence.data.ingest import Locations
from retrain_equivalence.execution import api
from retrain_equivalence.execution.inputs import PLACEBO, WITHHELD, load_datasets, put_datasets
from retrain_equivalence.execution.row_lengths import STAGES, UNLEARNINGS
from retrain_equivalence.recipes.dataset import AnyDataset, GeneratedDataset, JsonlDataset
from retrain_equivalence.store.memory import MemoryStore
from retrain_equivalence.study.study import ACKNOWLEDGEMENT, Study

ROWS = [{"prompt": f"What is item {i}?", "response": f"It is number {i * 7919}."} for i in range(40)]


def refused(study: Study, folder: Path = small_study.FOLDER) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        api.plan(study, api.Runtime(study_dir=folder, offline=True))
    return caught.value.problems


def jsonl(folder: Path, rows: list[dict[str, str]], name: str = "rows.jsonl") -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


# --- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("model={path: nowhere}", "model.path"),
        ("model={gguf: nowhere}", "model.gguf"),
        ("given=[{history: [facts, sums], path: nowhere}]", "given.0.path"),
    ],
)
def test_a_missing_model_names_its_field_and_its_path(override: str, field: str) -> None:
    (problem,) = refused(small_study.small(override))
    assert (problem.code, problem.place) == ("E-DATA-85", field)
    assert "'nowhere'" in problem.message
    assert problem.fix


@pytest.mark.parametrize(
    ("override", "field"),
    [("model={{path: '{}'}}", "model.path"), ("given=[{{history: [facts, sums], path: '{}'}}]", "given.0.path")],
)
def test_a_model_folder_is_checked_before_anything(
    override: str, field: str, nano_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(nano_folder, tmp_path / "model")
    study = small_study.small(override.format(folder), "training.max_length=1024")
    api.plan(study, api.Runtime(study_dir=small_study.FOLDER))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "x.Y"}}))
    (problem,) = refused(study)
    assert problem.code == "E-DATA-66"
    assert problem.place == f"{field} {folder / 'config.json'}"


def test_checking_a_model_folder_loads_no_torch(nano_folder: Path) -> None:
    code = (
        f"import sys, small_study; small_study.planned(\"model={{path: '{nano_folder}'}}\"); "
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=small_study.FOLDER)


# --- the placebo ----------------------------------------------------------------------------------------------------


def with_placebo(dataset: AnyDataset) -> Study:
    return replace(
        small_study.small(), histories=("forget_at_each_position", PLACEBO), placebo=dataset,
        acknowledge=ACKNOWLEDGEMENT,
    )  # fmt: skip


def test_a_placebo_smaller_than_the_forget_stage_is_refused() -> None:
    (problem,) = refused(with_placebo(GeneratedDataset(generated="instructions", rows=10, held_out=0)))
    assert (problem.code, problem.place) == ("E-DATA-88", PLACEBO)
    assert problem.message.startswith("10 training rows, but the forget stage 'safety' has ")


def test_a_larger_placebo_is_cut_to_the_forget_stage_in_its_own_order(tmp_path: Path) -> None:
    jsonl(tmp_path, ROWS)
    _, inputs = api.plan(
        with_placebo(JsonlDataset(jsonl="rows.jsonl", held_out=0)), api.Runtime(study_dir=tmp_path, offline=True)
    )
    n = len(inputs.datasets["safety"].train)
    assert [row.prompt for row in inputs.datasets[PLACEBO].train] == [row["prompt"] for row in ROWS[:n]]


def test_a_withheld_placebo_is_cut_alike_when_it_is_read_again(tmp_path: Path) -> None:
    jsonl(tmp_path, ROWS)
    study = with_placebo(JsonlDataset(jsonl="rows.jsonl", held_out=0, sensitive=True))
    _, inputs = api.plan(study, api.Runtime(study_dir=tmp_path, offline=True))
    store = MemoryStore()
    put_datasets(inputs, store)
    assert WITHHELD in store.get(inputs.dataset_keys()[PLACEBO]).manifest.files
    where = Locations(study_dir=tmp_path, data_dir=None, offline=True)
    again = load_datasets(store, inputs.dataset_keys(), study, where)
    assert {name: dataset.digest for name, dataset in again.items()} == {
        name: dataset.digest for name, dataset in inputs.datasets.items()
    }
    jsonl(tmp_path, list(reversed(ROWS)))
    with pytest.raises(InputError, match="E-DATA-31"):
        load_datasets(store, inputs.dataset_keys(), study, where)


# --- probes ---------------------------------------------------------------------------------------------------------


def test_accuracy_of_answers_without_a_number_is_refused() -> None:
    (problem,) = refused(small_study.small("probes=[{accuracy: sums}, {accuracy: facts}]", "comparisons=[]"))
    assert (problem.code, problem.place) == ("E-DATA-91", "probes.1 accuracy:facts")


def test_a_held_out_probe_without_held_out_rows_is_refused(tmp_path: Path) -> None:
    jsonl(tmp_path, [{**row, "author": "one"} for row in ROWS])
    study = small_study.small(
        "stages.facts.dataset={jsonl: rows.jsonl, cluster: author, held_out: 0.2}",
        "probes=[{answer_logprob: facts, split: held_out}]", "comparisons=[]",
    )  # fmt: skip
    (problem,) = refused(study, tmp_path)
    assert (problem.code, problem.place) == ("E-DATA-90", "probes.0 answer_logprob:facts:held_out")


# --- rows -----------------------------------------------------------------------------------------------------------

LONG = "stages.sums.dataset={jsonl: rows.jsonl, held_out: 0}"


@pytest.mark.parametrize("model", ["{{tiny: nano}}", "{{path: '{}'}}"])
def test_a_long_row_is_named_with_stage_source_and_field(model: str, nano_folder: Path, tmp_path: Path) -> None:
    jsonl(tmp_path, [*ROWS, {"prompt": "What is long?", "response": "word " * 400}])
    override = f"model={model.format(nano_folder)}"
    (problem,) = refused(small_study.small(LONG, override, *small_study.BARE), tmp_path)
    assert problem.code == "E-DATA-17"
    assert problem.place == "stages.sums rows.jsonl row '41'"
    assert "max_length 128" in problem.message
    assert problem.fix == f"raise {STAGES}, or set on_long: truncate or drop for this data set"


def test_a_row_that_training_and_unlearning_refuse_is_named_once_with_both_fields() -> None:
    short = ("training.max_length=1024", "stages.safety.max_length=60", "unlearning_training.max_length=50")
    problems = refused(small_study.small(*short, *small_study.BARE))
    assert len({problem.place for problem in problems}) == len(problems) > 1
    assert all(problem.place.startswith("stages.safety generated refusals row '") for problem in problems)
    fixes = {problem.fix for problem in problems}
    assert any(f"raise {STAGES} and {UNLEARNINGS}," in fix for fix in fixes)
    only = refused(small_study.small("training.max_length=1024", short[2], *small_study.BARE))
    assert {problem.fix.split(",")[0] for problem in only} == {f"raise {UNLEARNINGS}"}


def test_a_long_row_of_the_placebo_is_named(tmp_path: Path) -> None:
    jsonl(tmp_path, [{"prompt": "What is long?", "response": "word " * 400}, *ROWS])
    (problem,) = refused(with_placebo(JsonlDataset(jsonl="rows.jsonl", held_out=0)), tmp_path)
    assert problem.place == "placebo rows.jsonl row '1'"


def test_rows_of_a_stage_that_is_given_are_not_asked_about(nano_folder: Path, tmp_path: Path) -> None:
    """Nobody trains on them."""
    jsonl(tmp_path, [*ROWS, {"prompt": "What is long?", "response": "word " * 400}])
    whole = [
        f"{{history: [{history}], path: '{nano_folder}', replicate: {r}}}"
        for history in ("facts, sums, safety", "safety, facts, sums", "facts, sums")
        for r in range(3)
        if r < 2 or history == "facts, sums"
    ]
    study = small_study.small(LONG, f"given=[{', '.join(whole)}]")
    plan, _ = api.plan(study, api.Runtime(study_dir=tmp_path, offline=True))
    assert plan.count("stage") == 0


# --- provenance -----------------------------------------------------------------------------------------------------


def test_acknowledgement_and_notes_go_into_the_provenance_and_the_report(tmp_path: Path) -> None:
    said = (f"acknowledge={ACKNOWLEDGEMENT}", "notes=written by hand")
    out = small_study.run_small(tmp_path, *small_study.BARE, *said)
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["acknowledge"] == ACKNOWLEDGEMENT
    assert provenance["notes"] == "written by hand"
    from retrain_equivalence.report.page import write_report

    page = write_report(out).read_text(encoding="utf-8")
    assert f"The study acknowledges: {ACKNOWLEDGEMENT}." in page
    assert "written by hand" in page
