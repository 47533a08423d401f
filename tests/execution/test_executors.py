"""What both executors promise, and what worker processes add."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import execution_stub_study as stub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.core.errors import FAMILIES, InstrumentError, MachineError, Problem, RunError
from retrain_equivalence.execution.executors import messages, process
from retrain_equivalence.execution.executors.process import ProcessExecutor, environment_of_workers
from retrain_equivalence.execution.executors.serial import SerialExecutor
from retrain_equivalence.execution.executors.source import source_digest
from retrain_equivalence.execution.signals import Interrupted, StopFlag
from retrain_equivalence.execution.task import Task
from retrain_equivalence.store.local import LocalStore

FIRST = next(task for task in stub.PLAN if not task.needs)
AnyExecutor = SerialExecutor | ProcessExecutor


def opened(kind: str, root: Path, stop: StopFlag | None = None, **arguments: Any) -> AnyExecutor:
    given_stop = stop or StopFlag()
    given_arguments = {"store": str(root / "store"), **arguments}
    if kind == "serial":
        return SerialExecutor(stub.FACTORY, given_arguments, stop=given_stop)
    return ProcessExecutor(stub.FACTORY, given_arguments, workers=1, stop=given_stop)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def wait_until(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["serial", "process"])
def test_a_task_is_done(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as executor:
        assert executor.submit(FIRST).result(30) is None
    assert LocalStore(tmp_path / "store").has(FIRST.key)


@pytest.mark.parametrize("kind", ["serial", "process"])
def test_errors_come_back_with_family_place_and_traceback(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path, wrong={"base base": "raise"}) as executor:
        error = executor.submit(FIRST).exception(30)
    assert isinstance(error, RunError)
    assert error.lines() == [
        "error[E-RUN-11]: base base: base raised ValueError: a bug in the body. "
        "Fix: run with --debug for the traceback and report it"
    ]
    assert "in misbehave" in error.__notes__[0]


@pytest.mark.parametrize("kind", ["serial", "process"])
def test_exhausted_memory_is_the_machine_s(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path, wrong={"base base": "memory"}) as executor:
        error = executor.submit(FIRST).exception(30)
    assert isinstance(error, MachineError)
    assert error.problems[0].code == "E-ENV-05"
    assert executor.broken is None


@pytest.mark.parametrize("kind", ["serial", "process"])
def test_a_factory_that_raises_breaks_the_executor_and_ends_the_run(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path, factory="raise") as executor:
        error = executor.submit(FIRST).exception(30)
        assert isinstance(error, RunError)
        assert error.problems[0].code == "E-RUN-13"
        assert "no such study" in error.lines()[0]
        assert executor.broken is error
        assert executor.submit(FIRST).exception(30) is error
    outcome = stub.run_stub(tmp_path / "store", workers=0 if kind == "serial" else 2, factory="raise")
    assert len(outcome.failed) == 1
    assert len(outcome.waiting) == 9


@pytest.mark.parametrize("kind", ["serial", "process"])
def test_a_stopped_body_saves_itself(kind: str, tmp_path: Path) -> None:
    stop = StopFlag()
    stage = stub.label("a")
    with opened(kind, tmp_path, stop, pause=0.05) as executor:
        executor.submit(FIRST).result(30)
        if kind == "serial":
            stop.set()
        future = executor.submit(stage)
        if kind == "process":
            time.sleep(0.02)
            stop.set()
        assert isinstance(future.exception(30), Interrupted)
    kept = list(LocalStore(tmp_path / "store").manifests("checkpoint"))
    assert [found.recipe["of"] for found in kept] == [stage.key]


def test_workers_are_warm(tmp_path: Path) -> None:
    outcome = stub.run_stub(tmp_path / "store", workers=2, opened=str(tmp_path / "opened"))
    assert outcome.complete
    pids = (tmp_path / "opened").read_text().split()
    assert 1 <= len(pids) <= 2, "the factory is called once per worker, not per task"
    assert str(os.getpid()) not in pids


def test_workers_start_when_there_is_work(tmp_path: Path) -> None:
    with opened("process", tmp_path) as executor:
        time.sleep(0.05)
        assert isinstance(executor, ProcessExecutor)
        assert executor._workers == []


def test_workers_have_their_environment_before_anything_is_imported(tmp_path: Path) -> None:
    arguments = {"store": str(tmp_path / "store"), "wrong": {"base base": "environment"}}
    with ProcessExecutor(stub.FACTORY, arguments, workers=1, stop=StopFlag(), threads=3) as executor:
        error = executor.submit(FIRST).exception(30)
    assert isinstance(error, RunError)
    assert "0 3 3 3 torch=False" in error.lines()[0]
    assert environment_of_workers(1)["HF_HUB_OFFLINE"] == "1"


def test_serial_and_process_give_the_same_bytes(tmp_path: Path) -> None:
    for name, workers in (("serial", 0), ("one", 1), ("three", 3)):
        assert stub.run_stub(tmp_path / name, workers=workers).complete
    assert stub.fingerprint(tmp_path / "serial") == stub.fingerprint(tmp_path / "one")
    assert stub.fingerprint(tmp_path / "serial") == stub.fingerprint(tmp_path / "three")


def test_a_dead_worker_is_replaced_and_its_task_done(tmp_path: Path) -> None:
    warnings: list[Problem] = []
    arguments = {"store": str(tmp_path / "store"), "wrong": {"base base": "die once"}}
    with ProcessExecutor(stub.FACTORY, arguments, workers=2, stop=StopFlag(), warn=warnings.append) as executor:
        assert executor.submit(FIRST).result(30) is None
    assert [warning.line() for warning in warnings] == [
        "warning[E-RUN-10]: base base: its worker died, exit code 9 (attempt 1 of 3), trying again"
    ]


def test_a_task_that_kills_its_workers_fails_after_three(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = stub.run_stub(tmp_path / "store", workers=2, wrong={"stage a": "die"})
    ((task, problem),) = outcome.failed
    assert (task.label, problem.code) == ("stage a", "E-RUN-10")
    assert "attempt 3 of 3" in problem.message
    assert len(outcome.done) == 5, "the other history is not affected"
    assert capfd.readouterr().err.count("warning[E-RUN-10]") == 2


def test_a_killed_worker_is_named_as_such(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with opened("process", tmp_path, pause=0.2) as executor:
        assert isinstance(executor, ProcessExecutor)
        executor.submit(FIRST).result(30)
        future = executor.submit(stub.label("a"))
        wait_until(lambda: any(worker.job for worker in executor._workers))
        executor._workers[0].process.send_signal(signal.SIGKILL)
        assert future.result(30) is None
    assert "killed by SIGKILL (often the system, out of memory)" in capfd.readouterr().err


def test_workers_that_cannot_start_end_the_run(tmp_path: Path) -> None:
    outcome = stub.run_stub(tmp_path / "store", workers=2, factory="die")
    assert {problem.code for _, problem in outcome.failed} == {"E-RUN-13"}
    assert "exit code 3" in outcome.failed[0][1].message


def test_another_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "source_digest", lambda: "0" * 64)
    outcome = stub.run_stub(tmp_path / "store", workers=2)
    assert {problem.code for _, problem in outcome.failed} == {"E-ENV-09"}
    assert outcome.exit_code == 6
    assert len(source_digest()) == 64


def test_closing_ends_busy_workers_too(tmp_path: Path) -> None:
    executor = opened("process", tmp_path, pause=5.0)
    assert isinstance(executor, ProcessExecutor)
    future = executor.submit(FIRST)
    wait_until(lambda: any(worker.job for worker in executor._workers))
    pid = executor._workers[0].process.pid
    began = time.monotonic()
    executor.close()
    executor.close()
    assert time.monotonic() - began < 3
    assert not alive(pid)
    assert isinstance(future.exception(1), Interrupted)
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit(FIRST)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    stub.run_stub(tmp_path / "0", workers=2)
    before = count()
    for n in range(1, 4):
        stub.run_stub(tmp_path / str(n), workers=2)
    assert count() == before


def test_workers_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    arguments = [sys.executable, stub.__file__, str(tmp_path / "store"), "2", "5"]
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, cwd=Path(stub.__file__).parent)
    children = Path(f"/proc/{child.pid}/task")
    pids: list[int] = []

    def started() -> bool:
        found = [pid for task in children.iterdir() for pid in (task / "children").read_text().split()]
        pids[:] = map(int, found)
        return bool(pids) and any((tmp_path / "store" / "leases").glob("*.json"))

    wait_until(started)
    child.kill()
    child.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids), seconds=3)


def test_an_unguarded_script_is_not_run_again_by_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(stub.__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "import execution_stub_study as stub\n"
        "print('once', flush=True)\n"
        f"print(stub.run_stub(Path({str(tmp_path / 'store')!r}), workers=2).complete)\n"
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() == ["once", "True"]


TEXT = st.text(max_size=20)


@given(
    kind=TEXT, key=TEXT, needs=st.lists(TEXT, max_size=3), label=TEXT,
    weight=st.floats(min_value=0, allow_nan=False, allow_infinity=False),
)  # fmt: skip
def test_tasks_cross_as_one_line(kind: str, key: Any, needs: Any, label: str, weight: float) -> None:
    task = Task(kind=kind, key=key, needs=tuple(needs), label=label, weight=weight)
    line = messages.line_of({"task": messages.of_task(task)})
    assert line.count(b"\n") == 1
    assert messages.to_task(messages.message_of(line)["task"]) == task


@pytest.mark.parametrize("family", FAMILIES)
def test_errors_cross_with_everything(family: type[InstrumentError]) -> None:
    error = family(
        Problem(code=f"{family.prefix}-01", place="a:1", message="m", fix="f"),
        Problem(code=f"{family.prefix}-02", place="", message="ü", severity="warning"),
    )
    error.add_note("Traceback")
    found = messages.to_error(json.loads(json.dumps(messages.of_error(error))))
    assert (type(found), found.problems, found.__notes__) == (family, error.problems, ["Traceback"])
