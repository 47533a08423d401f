"""Kill it anywhere, run it again: it ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_study

from retrain_equivalence.store.local import LocalStore

Answers = tuple[dict[str, bytes], dict[str, str]]


def command(root: Path, workers: int) -> list[str]:
    sets = [word for override in small_study.SLOW for word in ("--set", override)]
    return [
        sys.executable, "-m", "retrain_equivalence", "run", str(small_study.FILE), *sets, "--offline",
        "--store", str(root / "store"), "--out", str(root / "out"), "--workers", str(workers),
    ]  # fmt: skip


def key_of(label: str) -> str:
    return next(task.key for task in small_study.planned(*small_study.SLOW).tasks if task.label == label)


def same(root: Path, expected: Answers) -> None:
    store = LocalStore(root / "store")
    assert dict(small_study.digests(root)) == expected[1]
    assert small_study.answers(root / "out") == expected[0]
    assert list(store.manifests("checkpoint")) == []
    assert list(store.verify()) == []
    assert not [*(store.root / "tmp").iterdir(), *(store.root / "leases").glob("*.json")]


@pytest.mark.parametrize(
    ("label", "number", "code", "workers"),
    [
        (small_study.LONG[0], signal.SIGTERM, 143, 0),
        (small_study.LONG[1], signal.SIGINT, 130, 1),
    ],
    ids=["in a stage", "in an unlearning"],
)
def test_a_signal_saves_inside_a_task_and_the_same_command_resumes(
    tmp_path: Path, slow_answers: Answers, label: str, number: signal.Signals, code: int, workers: int
) -> None:
    child = subprocess.Popen(command(tmp_path, workers), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lease = tmp_path / "store" / "leases" / f"{key_of(label)}.json"
    while not lease.exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.005)
    time.sleep(0.15)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == code, err
    assert out == ""
    assert err.splitlines()[-1].startswith("saved; resume with: retrain-equivalence run ")
    assert "Traceback" not in err
    kept = list(LocalStore(tmp_path / "store").manifests("checkpoint"))
    assert [found.recipe["of"] for found in kept] == [key_of(label)]
    small_study.run_small(tmp_path, *small_study.SLOW)
    same(tmp_path, slow_answers)


def kill_and_finish(root: Path, seed: int, kills: int) -> list[str]:
    found = subprocess.run(
        [sys.executable, small_study.__file__, "kill", str(root), str(seed), str(kills)],
        cwd=small_study.FOLDER, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return found.stdout.splitlines()


@pytest.mark.parametrize(("seed", "kills"), [(1, 4), pytest.param(2, 10, marks=pytest.mark.slow)])
def test_kills_inside_tasks_leave_no_trace(tmp_path: Path, slow_answers: Answers, seed: int, kills: int) -> None:
    said = kill_and_finish(tmp_path, seed, kills)
    assert sum(line.startswith("killed True") for line in said) >= kills - 1, said
    assert any(line.endswith("checkpoints 1") for line in said), "at least one run went on from a checkpoint"
    same(tmp_path, slow_answers)


def test_a_run_of_processes_survives_the_death_of_its_parent(tmp_path: Path, slow_answers: Answers) -> None:
    child = subprocess.Popen(command(tmp_path, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lease = tmp_path / "store" / "leases" / f"{key_of(small_study.LONG[0])}.json"
    while not lease.exists():
        assert child.poll() is None
        time.sleep(0.005)
    child.kill()
    child.wait()
    small_study.run_small(tmp_path, *small_study.SLOW)
    same(tmp_path, slow_answers)
