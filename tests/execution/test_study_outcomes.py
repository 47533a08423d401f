"""What is an outcome and what is a failure: divergence while unlearning, and while training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_study

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.execution import api
from retrain_equivalence.records.table import from_parquet
from retrain_equivalence.store.local import LocalStore

EXPLODING = (
    "unlearning_training.optimizer=sgd", "unlearning_training.learning_rate=1.0",
    "unlearning_training.max_grad_norm=null", "unlearning_training.max_steps=12",
    "unlearnings.ga.save_at=[0, 1, 12]", "unlearnings.npo.save_at=[0, 1, 12]",
)  # fmt: skip
OVERFLOWING = ("stages.sums.weight_decay=1e30",)


def command(root: Path, *overrides: str) -> list[str]:
    sets = [word for override in overrides for word in ("--set", override)]
    return [
        sys.executable, "-m", "retrain_equivalence", "run", str(small_study.FILE), *sets, "--workers", "0",
        "--store", str(root / "store"), "--out", str(root / "out"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    root = tmp_path_factory.mktemp("diverged")
    return root, subprocess.run(command(root, *EXPLODING), capture_output=True, text=True)


def test_divergence_while_unlearning_is_a_result(diverged: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, ended = diverged
    assert ended.returncode == 0, ended.stderr
    frame = from_parquet((root / "out" / "rows.parquet").read_bytes())
    store = LocalStore(root / "store")
    plan = small_study.planned(*EXPLODING)
    outcomes = {}
    for task in plan.tasks:
        if task.kind == "unlearn":
            about = json.loads(store.get(task.key).read("about.json"))
            outcomes[task.label] = (about["outcome"], about["finite_steps"])
    ascents = {label: found for label, found in outcomes.items() if " ga " in label}
    assert "diverged" in {outcome for outcome, _ in ascents.values()}, "this rate is meant to be too high"
    for label, (outcome, finite) in ascents.items():
        assert (outcome == "diverged") == (finite < 12)
        history, replicate = label.split()[1], int(label.rpartition(" r")[2])
        own = frame[(frame.history == history) & (frame.replicate == replicate) & (frame.unlearning == "ga")]
        losses = own[own.probe == "forget_loss"]
        assert sorted(set(losses.step)) == list(range(1, 13)), "every step has its rows"
        assert set(losses[losses.step <= finite].status) == {"ok"}
        if outcome == "diverged":
            at_end = own[own.step == 12]
            assert set(losses[losses.step > finite].status) == set(at_end.status) == {"censored"}
            # Every measure has its censored row under its own name; an absent one would look as if never asked for.
            assert set(at_end.probe) >= set(own[own.step == 1].probe)


def test_a_censored_row_has_no_value_and_an_ok_row_a_finite_one(
    diverged: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    frame: pd.DataFrame = from_parquet((diverged[0] / "out" / "rows.parquet").read_bytes())
    ok = frame.status == "ok"
    assert np.isfinite(frame.value[ok]).all()
    assert frame.value[~ok].isna().all()
    assert {"ok", "censored"} <= set(frame.status) <= {"ok", "censored", "unscored"}


def test_a_diverged_study_is_reported(diverged: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    findings = json.loads((diverged[0] / "out" / "findings.json").read_text())
    assert findings
    assert "censored" in (diverged[0] / "out" / "report.html").read_text()


@pytest.fixture(scope="module")
def overflowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    root = tmp_path_factory.mktemp("overflowed")
    return root, subprocess.run(command(root, *OVERFLOWING), capture_output=True, text=True)


def test_a_stage_that_leaves_the_numbers_fails_by_name_and_takes_no_key(
    overflowed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    root, ended = overflowed
    assert ended.returncode == 8, ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error")]
    assert errors
    assert all(line.startswith("error[E-RUN-01]: train ") and "sums" in line for line in errors)
    assert all(len(line) <= 300 for line in errors)
    assert len(set(errors)) == len(errors)
    store = LocalStore(root / "store")
    plan = small_study.planned(*OVERFLOWING)
    for task in plan.tasks:
        if task.kind == "stage":
            assert store.has(task.key) == ("sums" not in task.label), task.label
    assert list(store.manifests("checkpoint")) == []


def test_what_did_not_fail_is_kept_and_reported(overflowed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    root, _ = overflowed
    frame = from_parquet((root / "out" / "rows.parquet").read_bytes())
    assert {"(base)", "facts", "safety", "safety>facts"} == set(frame.history)
    provenance = json.loads((root / "out" / "provenance.json").read_text())
    assert any("E-RUN-01" in line for line in provenance["tasks"]["failed"])
    assert provenance["tasks"]["waiting"] > 0
    assert (root / "out" / "report.html").is_file()


def test_after_the_cause_is_gone_only_what_failed_is_made(
    overflowed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    root, _ = overflowed
    plan = small_study.planned()
    store = LocalStore(root / "store")
    had = {task.key for task in plan.tasks if store.has(task.key)}
    assert had, "stages before the failure are shared with the study that is right"


def of_folder(folder: Path) -> str:
    """A model whose tokenizer only a worker opens: it has a chat template."""
    return f"model={{path: '{folder}', template: chat}}"


def test_rows_that_only_the_tokenizer_refuses_stop_the_run_before_any_training(
    tmp_path: Path, nano_folder: Path
) -> None:
    with pytest.raises(InputError, match=r"E-DATA-17.*refusals/.*max_length") as caught:
        small_study.run_small(tmp_path, "training.max_length=60", of_folder(nano_folder))
    assert len(caught.value.problems) > 1, "all rows at once"
    assert len(set(caught.value.problems)) == len(caught.value.problems)
    assert {m.kind for m in LocalStore(tmp_path / "store").manifests()} == {"dataset"}
    assert not (tmp_path / "out").exists()


def test_a_base_of_an_earlier_study_does_not_let_such_rows_pass(tmp_path: Path, nano_folder: Path) -> None:
    chat = of_folder(nano_folder)
    small_study.run_small(tmp_path, *small_study.BARE, chat)
    with pytest.raises(AssertionError, match="E-DATA-17"):
        small_study.run_small(tmp_path, *small_study.BARE, chat, "stages.safety.max_length=60", name="other")


def test_dropped_and_cut_rows_train(tmp_path: Path) -> None:
    cut = ("training.max_length=90", *(f"stages.{name}.dataset.on_long={how}" for name, how in (
        ("facts", "drop"), ("sums", "truncate"), ("safety", "drop"))))  # fmt: skip
    small_study.run_small(tmp_path, *small_study.BARE, *cut)


def test_results_say_how_the_run_ended(tmp_path: Path) -> None:
    found = api.run(
        small_study.small(*OVERFLOWING, *small_study.BARE), store=LocalStore(tmp_path / "store"),
        out=tmp_path / "out", runtime=api.Runtime(workers=0, study_dir=small_study.FOLDER),
    )  # fmt: skip
    assert found.exit_code == 8
    assert {problem.code for problem in found.failed} == {"E-RUN-01"}


def test_a_failed_task_leaves_nothing_to_the_next_of_its_worker(tmp_path: Path) -> None:
    """One process, so one set of warm models: adapters that a failing stage attached are gone for those after it."""
    lora = ("model.tuning={lora: {rank: 2, alpha: 4}}", *small_study.BARE)
    small_study.run_small(tmp_path / "clean", *lora)
    clean = small_study.digests(tmp_path / "clean")
    api.run(
        small_study.small(*lora, *OVERFLOWING), store=LocalStore(tmp_path / "store"), out=tmp_path / "out",
        runtime=api.Runtime(workers=0, study_dir=small_study.FOLDER),
    )  # fmt: skip
    made = small_study.digests(tmp_path)
    shared = made.keys() & clean.keys()
    assert {LocalStore(tmp_path / "store").get(key).manifest.kind for key in shared} >= {"base", "stage", "probe"}
    assert all(made[key] == clean[key] for key in shared)
