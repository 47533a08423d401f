"""Signals, kills at random times, and several processes on one store, all through a command line of its own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import execution_stub_study as stub
import pytest

from retrain_equivalence.execution.signals import StopFlag, stopping
from retrain_equivalence.store.local import LocalStore


def started(root: Path, workers: int, pause: float) -> subprocess.Popen[str]:
    """The stub study in a process group of its own, so that a signal to the group is what a terminal's Ctrl-C is."""
    return subprocess.Popen(
        [sys.executable, stub.__file__, str(root), str(workers), str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(stub.__file__).parent,
        start_new_session=True,
    )


def until(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdout is not None
    for found in child.stdout:
        if found.strip() == line:
            return
    pytest.fail(f"{line!r} was never said")


def ended(child: subprocess.Popen[str], seconds: float) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=seconds)
    return child.returncode, out, err


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, str]:
    stub.run_stub(tmp_path / "whole")
    return stub.fingerprint(tmp_path / "whole")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_one_signal_saves_and_exits(
    tmp_path: Path, whole: dict[str, str], number: signal.Signals, code: int, workers: int
) -> None:
    child = started(tmp_path / "store", workers, 0.3)
    until(child, "started stage b")
    time.sleep(0.1)
    os.killpg(child.pid, number)
    found, out, err = ended(child, 20)
    assert found == code, err
    assert "Ctrl-C again" in err
    assert "Traceback" not in err
    assert "interrupted stage b" in out
    store = LocalStore(tmp_path / "store")
    assert list(store.manifests("checkpoint")), "a checkpoint at that step"
    assert stub.leftovers(store.root) == []
    assert stub.run_stub(store.root).complete
    assert stub.fingerprint(store.root) == whole


@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_signal_stops_at_once(tmp_path: Path, whole: dict[str, str], workers: int) -> None:
    child = started(tmp_path / "store", workers, 5.0)
    until(child, "started base base")
    # A worker that is still starting has nothing to save: the first signal would be the end of it.
    time.sleep(1.5)
    began = time.monotonic()
    os.killpg(child.pid, signal.SIGINT)
    time.sleep(0.2)
    os.killpg(child.pid, signal.SIGINT)
    code, _, err = ended(child, 10)
    assert (code, "stopped" in err, "Traceback" in err) == (130, True, False)
    assert time.monotonic() - began < 2
    assert stub.run_stub(tmp_path / "store").complete
    assert stub.fingerprint(tmp_path / "store") == whole
    assert stub.leftovers(tmp_path / "store") == []


def test_killed_at_random_times_it_ends_with_the_same_bytes(tmp_path: Path, whole: dict[str, str]) -> None:
    rng, kills, root = random.Random(20), 0, tmp_path / "store-0"
    for n in range(40):
        child = started(root, n % 3, 0.02)
        if n % 3:
            until(child, "planned")
        time.sleep(rng.uniform(0.0, 0.3))
        # The whole group: that the workers end with the parent alone is shown in test_executors.
        os.killpg(child.pid, signal.SIGKILL)
        code, _, _ = ended(child, 10)
        kills += code == -signal.SIGKILL
        if (root / "FORMAT").exists():
            assert list(LocalStore(root).verify()) == []
        if code == 0:
            assert stub.fingerprint(root) == whole
            root = tmp_path / f"store-{n}"
        if kills == 12:
            break
    assert kills == 12
    assert stub.run_stub(root, workers=2).complete
    assert stub.fingerprint(root) == whole
    assert stub.leftovers(root) == []


def test_four_processes_share_the_work(tmp_path: Path, whole: dict[str, str]) -> None:
    children = [started(tmp_path / "store", 0, 0.05) for _ in range(4)]
    ends = [ended(child, 60) for child in children]
    assert [code for code, _, _ in ends] == [0, 0, 0, 0], [err for _, _, err in ends]
    made = [int(out.split("made ")[1]) for _, out, _ in ends]
    assert sum(made) == len(stub.PLAN), "each key is made once"
    assert sum(count > 0 for count in made) >= 2, "the work is split"
    assert stub.fingerprint(tmp_path / "store") == whole
    assert stub.leftovers(tmp_path / "store") == []


def test_a_process_takes_over_from_a_killed_one(tmp_path: Path, whole: dict[str, str]) -> None:
    first = started(tmp_path / "store", 0, 0.5)
    until(first, "started base base")
    second = started(tmp_path / "store", 0, 0.01)
    until(second, "held base base")
    first.kill()
    ended(first, 10)
    began = time.monotonic()
    code, out, _ = ended(second, 30)
    assert time.monotonic() - began < 10
    assert code == 0
    assert "made 10" in out
    assert stub.fingerprint(tmp_path / "store") == whole


def test_a_paused_holder_that_wakes_up_overwrites_nothing(tmp_path: Path, whole: dict[str, str]) -> None:
    root = tmp_path / "store"
    holder = started(root, 0, 0.1)
    until(holder, "started base base")
    holder.send_signal(signal.SIGSTOP)
    store = LocalStore(root)
    assert store.unlock(stub.label("base").key)
    assert stub.run_stub(root).complete
    holder.send_signal(signal.SIGCONT)
    assert ended(holder, 30)[0] == 0
    assert stub.fingerprint(root) == whole
    assert stub.leftovers(root) == []


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    stop, told = StopFlag(), list[str]()
    with stopping(stop, told.append):
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 5
        while not stop.is_set():
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert (stop.signal, stop.exit_code) == (signal.SIGTERM, 143)
    assert len(told) == 1
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_flag_remembers_the_first_signal() -> None:
    stop = StopFlag()
    assert (stop.is_set(), stop.signal, stop.exit_code) == (False, None, 0)
    stop.set(signal.SIGHUP)
    stop.set(signal.SIGINT)
    assert (stop.is_set(), stop.exit_code) == (True, 129)
