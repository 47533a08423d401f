"""The runner, over the memory store and a serial executor unless a test needs more."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import execution_stub_study as stub
import pytest

from retrain_equivalence.core.errors import BusyError, InstrumentError, MachineError, RunError
from retrain_equivalence.core.identity import Key, key_of
from retrain_equivalence.execution.runner import Event, Happened, Outcome, execute
from retrain_equivalence.execution.signals import Interrupted, StopFlag
from retrain_equivalence.execution.task import Body, Task, explained
from retrain_equivalence.store.base import Holder, Store
from retrain_equivalence.store.checkpoints import Checkpoints
from retrain_equivalence.store.local import LocalStore
from retrain_equivalence.store.memory import MemoryStore


class InlineExecutor:
    """A serial executor over a body that is at hand."""

    slots = 1
    broken: InstrumentError | None = None

    def __init__(self, body: Body) -> None:
        self.body = body

    def submit(self, task: Task) -> Future[None]:
        future: Future[None] = Future()
        try:
            self.body(task)
        except Interrupted as error:
            future.set_exception(error)
        except Exception as error:
            future.set_exception(explained(task, error))
        else:
            future.set_result(None)
        return future

    def close(self) -> None:
        pass


def run(store: Store, body: Body | None = None, tasks: list[Task] | None = None, **more: Any) -> Outcome:
    stop = more.pop("stop", StopFlag())
    given = body or stub.body_of(store, stop, {})
    return execute(
        stub.PLAN if tasks is None else tasks, store=store, executor=InlineExecutor(given), stop=stop, **more
    )


def names(tasks: list[Task]) -> list[str]:
    return sorted(task.label.split(" ")[1] for task in tasks)


def failing(store: Store, at: str, error: Callable[[], BaseException]) -> Body:
    good = stub.body_of(store, StopFlag(), {})

    def body(task: Task) -> None:
        if task.label.split(" ")[1] == at:
            raise error()
        good(task)

    return body


def test_everything_is_made_parents_first_and_then_reused() -> None:
    store, events = MemoryStore(), list[Event]()
    first = run(store, progress=events.append)
    assert first.complete
    assert first.exit_code == 0
    assert len(first.done) == len(stub.PLAN)
    made = [task.key for task in first.done]
    assert all(made.index(need) < made.index(task.key) for task in first.done for need in task.needs)
    assert [event.happened for event in events] == [Happened.PLANNED, *[Happened.STARTED, Happened.DONE] * 10]
    second = run(store)
    assert (len(second.done), len(second.reused), second.exit_code) == (0, 10, 0)


def test_the_longest_chain_goes_first() -> None:
    store, order = MemoryStore(), list[str]()

    def task(name: str, weight: float, *needs: Key) -> Task:
        return Task(kind="t", key=key_of("t", name, needs), needs=needs, label=name, weight=weight)

    def body(task: Task) -> None:
        order.append(task.label)
        parents = {need: store.get(need).manifest.digest for need in task.needs}
        store.put(task.key, kind="t", recipe=task.label, parents=parents, files={})

    long = task("long", 3.0)
    run(store, body, [task("short", 1.0), task("heavy", 5.0), long, task("end", 4.0, long.key)])
    assert order == ["long", "heavy", "end", "short"]


def test_counts_and_eta_follow_the_weights() -> None:
    events = list[Event]()
    run(MemoryStore(), progress=events.append)
    done = [event for event in events if event.happened is Happened.DONE]
    assert [event.counts.done for event in done] == list(range(1, 11))
    assert [event.counts.left for event in done] == list(range(9, -1, -1))
    assert events[0].eta_seconds is None
    assert done[-1].eta_seconds == 0
    assert all(event.eta_seconds is not None and event.eta_seconds > 0 for event in done[:-1])
    assert [event.counts.running for event in events if event.happened is Happened.STARTED] == [1] * 10


def test_a_failure_costs_its_dependants_only() -> None:
    store = MemoryStore()
    events = list[Event]()
    body = failing(store, "b>a", lambda: ValueError("a bug\x1b[31m"))
    outcome = run(store, body, progress=events.append)
    assert [(task.label, problem.code) for task, problem in outcome.failed] == [("stage b>a", "E-RUN-11")]
    assert names(outcome.waiting) == sorted(["b>a@ga", "b>a@ga/loss", "gap"])
    assert len(outcome.done) == 6
    assert outcome.exit_code == 8
    (failed,) = [event for event in events if event.happened is Happened.FAILED]
    assert "\x1b" not in failed.message
    assert "Traceback" in failed.detail
    assert run(store).complete


def test_a_machine_fault_starts_nothing_new() -> None:
    store = MemoryStore()
    body = failing(store, "a", lambda: MachineError.of("E-ENV-01", "store", "no space left"))
    outcome = run(store, body)
    assert len(outcome.failed) == 1
    assert outcome.exit_code == 6
    assert len(outcome.done) + len(outcome.waiting) == 9
    assert run(store).complete


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (lambda: MemoryError(), "E-ENV-05", 6),
        (lambda: type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "E-ENV-05", 6),
        (lambda: OSError(28, "No space left on device", "/x"), "E-ENV-01", 6),
        (lambda: FileNotFoundError(2, "No such file", "/x"), "E-RUN-11", 8),
        (lambda: RunError.of("E-RUN-01", "stage", "loss is nan"), "E-RUN-01", 8),
    ],
)
def test_errors_get_their_family(error: Callable[[], BaseException], code: str, exit_code: int) -> None:
    store = MemoryStore()
    outcome = run(store, failing(store, "base", error))
    assert [problem.code for _, problem in outcome.failed] == [code]
    assert outcome.exit_code == exit_code


def test_a_body_that_leaves_nothing_has_failed() -> None:
    outcome = run(MemoryStore(), lambda task: None)
    assert [problem.code for _, problem in outcome.failed] == ["E-RUN-12"]


def test_a_need_that_nobody_makes_is_named() -> None:
    task = Task(kind="t", key=key_of("t", 1), needs=(key_of("t", 0),), label="probe x", weight=1)
    outcome = run(MemoryStore(), tasks=[task])
    ((failed, problem),) = outcome.failed
    assert (failed, problem.code, problem.place) == (task, "E-STORE-04", "probe x")
    assert key_of("t", 0)[:12] in problem.message
    assert outcome.exit_code == 5


def test_a_circle_is_refused() -> None:
    one, two = key_of("t", 1), key_of("t", 2)
    tasks = [
        Task(kind="t", key=one, needs=(two,), label="one", weight=1),
        Task(kind="t", key=two, needs=(one,), label="two", weight=1),
    ]
    with pytest.raises(ValueError, match=r"in a circle: (one, two|two, one)"):
        run(MemoryStore(), tasks=tasks)


def test_nothing_to_do_is_done() -> None:
    assert run(MemoryStore(), tasks=[]).complete


def test_a_key_twice_is_one_task() -> None:
    assert len(run(MemoryStore(), tasks=stub.PLAN + stub.PLAN).done) == 10


def test_stopping_saves_and_resuming_gives_the_same_bytes(tmp_path: Path) -> None:
    stub.run_stub(tmp_path / "whole")
    stop = StopFlag()

    def after_three(event: Event) -> None:
        if event.happened is Happened.STARTED and event.counts.done == 3:
            stop.set(15)

    outcome = stub.run_stub(tmp_path / "parts", stop=stop, progress=after_three)
    assert outcome.exit_code == 143
    assert len(outcome.done) == 3
    kept = list(LocalStore(tmp_path / "parts").manifests("checkpoint"))
    assert [found.recipe["step"] for found in kept] == [1], "saved at the very step"
    assert stub.leftovers(tmp_path / "parts") == []
    assert stub.run_stub(tmp_path / "parts").complete
    assert stub.fingerprint(tmp_path / "parts") == stub.fingerprint(tmp_path / "whole")


def test_a_stop_after_the_last_task_is_no_interruption() -> None:
    stop = StopFlag()

    def at_end(event: Event) -> None:
        if event.happened is Happened.DONE and event.counts.done == 10:
            stop.set(2)

    assert run(MemoryStore(), stop=stop, progress=at_end).exit_code == 0


def damage(root: Path, key: Key) -> None:
    path = root / "objects" / key[:2] / key / "state.bin"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[3] ^= 4
    path.write_bytes(data)


def test_damage_met_under_a_task_is_made_again(tmp_path: Path) -> None:
    stub.run_stub(tmp_path / "whole")
    stub.run_stub(tmp_path / "hurt")
    store = LocalStore(tmp_path / "hurt")
    for name in ("a>b@ga", "a>b", "a"):
        damage(tmp_path / "hurt", stub.label(name).key)
    for name in ("a>b@ga/loss", "gap"):
        store.discard(stub.label(name).key)
    events = list[Event]()
    outcome = stub.run_stub(tmp_path / "hurt", progress=events.append)
    assert outcome.complete
    assert names(outcome.done) == sorted(["a", "a>b", "a>b@ga", "a>b@ga/loss", "gap"])
    assert len(outcome.reused) == 5
    assert sum(event.happened is Happened.AGAIN for event in events) == 3
    assert stub.fingerprint(tmp_path / "hurt") == stub.fingerprint(tmp_path / "whole")
    assert len(list((tmp_path / "hurt" / "quarantine").iterdir())) == 3


def test_damage_without_rebuild_is_an_error(tmp_path: Path) -> None:
    stub.run_stub(tmp_path)
    LocalStore(tmp_path).discard(stub.label("gap").key)
    damage(tmp_path, stub.label("a>b@ga/loss").key)
    store = LocalStore(tmp_path, rebuild=False)
    outcome = run(store)
    assert {problem.code for _, problem in outcome.failed} == {"E-STORE-02"}
    assert outcome.exit_code == 5
    assert list((tmp_path / "quarantine").iterdir()) == []


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    stub.run_stub(tmp_path / "whole")
    store = LocalStore(tmp_path / "hurt")
    key = stub.label("a").key
    checkpoints = Checkpoints(store, key, stub.N_STEPS)
    checkpoints.save(2, {"state.bin": bytes(64)})
    damage(tmp_path / "hurt", next(iter(store.manifests("checkpoint"))).key)
    assert stub.run_stub(tmp_path / "hurt").complete
    assert stub.fingerprint(tmp_path / "hurt") == stub.fingerprint(tmp_path / "whole")


class HeldStore(MemoryStore):
    """A store in which someone else holds one key, for a while or for good."""

    def __init__(self, key: Key, holder: Holder, looks: int) -> None:
        super().__init__()
        self.key, self.holder, self.looks = key, holder, looks

    def claim(self, key: Key) -> Holder | None:
        if key == self.key and self.looks > 0:
            self.looks -= 1
            return self.holder
        return super().claim(key)


def test_a_key_that_another_process_holds_is_waited_for() -> None:
    holder = Holder(host="a", pid=4711, foreign=False, silent_seconds=1e9)
    store = HeldStore(stub.label("a").key, holder, looks=4)
    events = list[Event]()
    outcome = run(store, progress=events.append)
    assert outcome.complete
    held = [event for event in events if event.happened is Happened.HELD]
    assert [event.message for event in held] == ["is being made by pid 4711; waiting"], "said once"
    order = [task.label for task in outcome.done]
    assert order.index("stage b>a") < order.index("stage a"), "the rest goes on meanwhile"


def test_a_silent_holder_elsewhere_is_given_up_after_patience() -> None:
    holder = Holder(host="b", pid=9, foreign=True, silent_seconds=1860)
    outcome = run(HeldStore(stub.label("a").key, holder, looks=10**9))
    ((_, problem),) = outcome.failed
    assert problem.code == "E-LOCK-01"
    assert "pid 9 on b, no sign of life for 31 min" in problem.line()
    assert "store unlock" in problem.line()
    assert len(outcome.done) == 5
    assert outcome.exit_code == 7


def test_what_a_dead_process_left_undone_is_done(tmp_path: Path) -> None:
    stub.run_stub(tmp_path / "whole")
    stub.run_stub(tmp_path / "dead")
    store = LocalStore(tmp_path / "dead")
    key = stub.label("a").key
    Checkpoints(store, key, 4).save(2, {"state.bin": bytes(64)})
    lease = {"boot": "earlier", "counter": 0, "host": "", "pid": 1, "start": "1", "uuid": "u"}
    store.claim(key)
    lease["host"] = json.loads((tmp_path / "dead" / "leases" / f"{key}.json").read_text())["host"]
    (tmp_path / "dead" / "leases" / f"{key}.json").write_text(json.dumps(lease))
    assert stub.run_stub(tmp_path / "dead").complete
    assert stub.fingerprint(tmp_path / "dead") == stub.fingerprint(tmp_path / "whole")
    assert stub.leftovers(tmp_path / "dead") == []


def test_a_run_keeps_the_collection_of_garbage_away(tmp_path: Path) -> None:
    store, refused = LocalStore(tmp_path), list[BusyError]()

    def collect(event: Event) -> None:
        if event.happened is Happened.STARTED:
            with pytest.raises(BusyError) as caught:
                LocalStore(tmp_path).gc([])
            refused.append(caught.value)

    assert run(store, progress=collect).complete
    assert len(refused) == 10
    assert str(os.getpid()) in refused[0].lines()[0]


def test_two_thousand_tasks_cost_little() -> None:
    store, tasks = MemoryStore(), list[Task]()
    for n in range(2000):
        needs = (tasks[-1].key,) if n % 10 else ()
        tasks.append(Task(kind="t", key=key_of("t", n, needs), needs=needs, label=f"t{n}", weight=1.0))

    def body(task: Task) -> None:
        parents = {need: store.get(need).manifest.digest for need in task.needs}
        store.put(task.key, kind="t", recipe=int(task.label[1:]), parents=parents, files={})

    began = time.process_time()
    assert len(run(store, body, tasks).done) == 2000
    assert time.process_time() - began < 4
