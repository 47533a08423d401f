"""The runner: give ready tasks to an executor until everything that can be made is made.

Design. Tasks form a graph by the keys that they need. What is in the store is not made again. A task is ready when its
needs are in the store; among ready ones the head of the longest remaining chain goes first. Before a task starts its
key is claimed in the store, so that several processes on one store split the work; a key that someone else works on is
waited for. A failure costs the task and what depends on it, nothing else, unless the machine itself is at fault: then
nothing new is started. An object that turns out to be damaged while it is read goes to quarantine, and is made again.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from retrain_equivalence.core.errors import BusyError, InstrumentError, MachineError, Problem, RunError, StoreError
from retrain_equivalence.core.identity import Key
from retrain_equivalence.execution.executors.base import Executor
from retrain_equivalence.execution.signals import Interrupted, StopFlag
from retrain_equivalence.execution.task import Task
from retrain_equivalence.store.base import Holder, Store
from retrain_equivalence.store.checkpoints import discard_checkpoints

ATTEMPTS = 3
"""How often a task is tried again after damage was found under it."""
PATIENCE_SECONDS = 1800.0
"""For how long a silent holder on another host is waited for."""
_LOOK_SECONDS = 0.1
_DAMAGE = ("E-STORE-01", "E-STORE-02", "E-STORE-03", "E-STORE-04", "E-STORE-05")


class Happened(StrEnum):
    """What an event tells."""

    PLANNED = "planned"
    """All tasks were looked up; the counts say what is to be done."""
    STARTED = "started"
    DONE = "done"
    REUSED = "reused"
    """It was in the store, or another process made it meanwhile."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """It saved itself on request."""
    HELD = "held"
    """Another process works on it."""
    AGAIN = "again"
    """Damage was found under it: it waits until what it needs is made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How far a run is."""

    total: int
    done: int = 0
    reused: int = 0
    failed: int = 0
    running: int = 0

    @property
    def left(self) -> int:
        """Tasks that are neither in the store nor failed."""
        return self.total - self.done - self.reused - self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to a task, or to the run."""

    happened: Happened
    task: Task | None
    counts: Counts
    seconds: float = 0.0
    """How long the task took, as the runner saw it."""
    elapsed_seconds: float = 0.0
    """Since the run began."""
    eta_seconds: float | None = None
    """Expected rest, from the weights done in the time elapsed; None before the first task is done."""
    message: str = ""
    """One line for people: the problem, or who holds the key."""
    detail: str = ""
    """For the log: the traceback of a failure."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    done: list[Task] = field(default_factory=list)
    """Made by this run."""
    reused: list[Task] = field(default_factory=list)
    """In the store already, or made by another process meanwhile."""
    failed: list[tuple[Task, Problem]] = field(default_factory=list)
    """One entry per problem; a task may have several."""
    waiting: list[Task] = field(default_factory=list)
    """Not made: behind a failure, or left when the run was asked to stop."""
    stopped: int | None = None
    """The signal that asked to stop, if one did and something was left."""

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is in the store."""
        return not self.failed and not self.waiting

    @property
    def exit_code(self) -> int:
        """0, or 128 + signal, or that of the gravest family: store, machine, busy, then failed tasks."""
        if self.stopped is not None:
            return 128 + self.stopped
        found = {problem.code.rpartition("-")[0] for _, problem in self.failed}
        for family in (StoreError, MachineError, BusyError):
            if family.prefix in found:
                return family.exit_code
        return RunError.exit_code if self.failed or self.waiting else 0


def execute(
    tasks: Iterable[Task],
    *,
    store: Store,
    executor: Executor,
    stop: StopFlag,
    progress: Callable[[Event], None] = lambda event: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Make all `tasks` that are not in the store.

    Args:
        tasks: in any order; a key that occurs twice is one task.
        store: where their objects are.
        executor: who does them.
        stop: when set, nothing new is started and the running bodies are told.
        progress: told of everything that happens, in this thread.
        patience_seconds: for how long a silent holder on another host is waited for (E-LOCK-01 after that).

    Raises:
        BusyError: E-LOCK-02 if the store's garbage is being collected.
        ValueError: if the tasks need each other in a circle.
    """
    with store.in_use():
        return _Run(list(tasks), store, executor, stop, progress, patience_seconds).to_its_end()


class _Run:
    def __init__(
        self,
        tasks: list[Task],
        store: Store,
        executor: Executor,
        stop: StopFlag,
        progress: Callable[[Event], None],
        patience_seconds: float,
    ) -> None:
        self.tasks = {task.key: task for task in reversed(tasks)}
        self.store, self.executor, self.stop = store, executor, stop
        self.progress, self.patience_seconds = progress, patience_seconds
        self.needed_by: dict[Key, list[Key]] = {key: [] for key in self.tasks}
        for task in self.tasks.values():
            for need in dict.fromkeys(task.needs):
                if need in self.tasks:
                    self.needed_by[need].append(task.key)
        self.chain = self._chains()
        self.finished: set[Key] = set()
        self.failed: set[Key] = set()
        self.ready: list[tuple[float, int, Key]] = []
        self.order = {key: index for index, key in enumerate(reversed(self.tasks))}
        self.running: dict[Future[None], tuple[Task, float]] = {}
        self.held: dict[Key, Holder] = {}
        self.attempts: Counter[Key] = Counter()
        self.outcome = Outcome()
        self.draining = False
        self.began = time.monotonic()
        self.weight_done = 0.0
        self.weight_left = sum(task.weight for task in self.tasks.values())

    def _chains(self) -> dict[Key, float]:
        """Return for each task the weight of the heaviest chain that starts with it."""
        missing = {key: len(needing) for key, needing in self.needed_by.items()}
        chain: dict[Key, float] = {}
        last = [key for key, count in missing.items() if not count]
        while last:
            key = last.pop()
            task = self.tasks[key]
            chain[key] = task.weight + max((chain[after] for after in self.needed_by[key]), default=0.0)
            for need in dict.fromkeys(task.needs):
                if need in missing:
                    missing[need] -= 1
                    if not missing[need]:
                        last.append(need)
        if len(chain) < len(self.tasks):
            circle = [self.tasks[key].label for key in self.tasks if key not in chain]
            raise ValueError(f"tasks need each other in a circle: {', '.join(circle[:5])}")
        return chain

    # -- the loop ------------------------------------------------------------------------------------------------

    def to_its_end(self) -> Outcome:
        try:
            self._prune(self.store.abandoned() & self.tasks.keys())
            self._look_up()
            while self._go_on():
                continue
            self._prune(self.store.abandoned() & self.tasks.keys())
        finally:
            for task, _ in self.running.values():
                self._release(task.key)
        settled = self.finished | self.failed
        self.outcome.waiting = [self.tasks[key] for key in self.order if key not in settled]
        if self.stop.is_set() and self.outcome.waiting:
            self.outcome.stopped = self.stop.signal
        return self.outcome

    def _look_up(self) -> None:
        for key, task in self._in_order():
            if self.store.has(key):
                self.finished.add(key)
                self.weight_left -= task.weight
                self.outcome.reused.append(task)
        for key in self.order:
            self._offer(key)
        self._tell(Happened.PLANNED, None)

    def _in_order(self) -> list[tuple[Key, Task]]:
        return [(key, self.tasks[key]) for key in self.order]

    def _go_on(self) -> bool:
        """Start what can be started and take what has ended; False when there is nothing left to wait for."""
        stopping = self.stop.is_set()
        if not (stopping or self.draining):
            self._start_ready()
        if self.running:
            ended, _ = wait(self.running, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for future in ended:
                self._take(future)
            return True
        if stopping or self.draining or not self.ready:
            return False
        if all(holder.foreign and holder.silent_seconds > self.patience_seconds for holder in self.held.values()):
            self._give_up_waiting()
            return True
        time.sleep(_LOOK_SECONDS)
        return True

    def _offer(self, key: Key) -> None:
        """Make a task ready if nothing that it needs is still to be made."""
        if key not in self.finished and all(
            need in self.finished or need not in self.tasks for need in self.tasks[key].needs
        ):
            heapq.heappush(self.ready, (-self.chain[key], self.order[key], key))

    def _start_ready(self) -> None:
        passed: list[tuple[float, int, Key]] = []
        while self.ready and len(self.running) < self.executor.slots and not (self.draining or self.stop.is_set()):
            entry = heapq.heappop(self.ready)
            task = self.tasks[entry[2]]
            try:
                if not self._start(task):
                    passed.append(entry)
            except InstrumentError as error:
                self._release(task.key)
                self._fail(task, error)
        for entry in passed:
            heapq.heappush(self.ready, entry)

    def _start(self, task: Task) -> bool:
        """Start a task, or find it made; False if someone else is at it."""
        if self.store.has(task.key):
            self._reuse(task)
            return True
        holder = self.store.claim(task.key)
        if holder is not None:
            if task.key not in self.held:
                self._tell(Happened.HELD, task, message=f"is being made by {holder}; waiting")
            self.held[task.key] = holder
            return False
        self.held.pop(task.key, None)
        # Its maker may have committed and gone between the look and the claim.
        if self.store.has(task.key):
            discard_checkpoints(self.store, (task.key,))
            self._release(task.key)
            self._reuse(task)
            return True
        if lost := [need for need in task.needs if not self.store.has(need)]:
            self._release(task.key)
            self._again(task, lost)
            return True
        self._tell(Happened.STARTED, task, running=1)
        began = time.monotonic()
        future = self.executor.submit(task)
        self.running[future] = (task, began)
        return True

    def _take(self, future: Future[None]) -> None:
        task, began = self.running.pop(future)
        seconds = time.monotonic() - began
        try:
            future.result()
            if not self.store.has(task.key):
                message = f"{task.kind} ended without leaving its object in the store"
                raise RunError(Problem(code="E-RUN-12", place=task.label, message=message, fix="report this bug"))
        except (Interrupted, CancelledError):
            self._release(task.key)
            self._tell(Happened.INTERRUPTED, task, seconds=seconds)
        except InstrumentError as error:
            self._release_after_failure(task.key)
            if not self._is_damage(error):
                self._fail(task, error, seconds)
            else:
                self.attempts[task.key] += 1
                if self.attempts[task.key] >= ATTEMPTS:
                    self._fail(task, error, seconds)
                else:
                    self._again(task, [need for need in task.needs if not self.store.has(need)], error)
        else:
            self._release(task.key)
            self.weight_done += task.weight
            self.outcome.done.append(task)
            self._finish(task)
            self._tell(Happened.DONE, task, seconds=seconds)

    @staticmethod
    def _is_damage(error: InstrumentError) -> bool:
        return all(problem.code in _DAMAGE for problem in error.problems)

    # -- what becomes of a task ----------------------------------------------------------------------------------

    def _reuse(self, task: Task) -> None:
        self.held.pop(task.key, None)
        self.outcome.reused.append(task)
        self._finish(task)
        self._tell(Happened.REUSED, task)

    def _finish(self, task: Task) -> None:
        self.finished.add(task.key)
        self.weight_left -= task.weight
        for key in self.needed_by[task.key]:
            if key not in self.failed:
                self._offer(key)

    def _fail(self, task: Task, error: InstrumentError, seconds: float = 0.0) -> None:
        self.failed.add(task.key)
        self.held.pop(task.key, None)
        self.outcome.failed.extend((task, problem) for problem in error.problems)
        # A full disk, a missing right or lost workers meet every task: the rest would only fail in the same way.
        self.draining = self.draining or isinstance(error, MachineError) or self.executor.broken is not None
        self.weight_left -= task.weight
        detail = "\n".join(getattr(error, "__notes__", ()))
        self._tell(Happened.FAILED, task, seconds=seconds, message=error.lines()[0], detail=detail)

    def _again(self, task: Task, lost: list[Key], error: InstrumentError | None = None) -> None:
        """Make what a task needs and lost, then the task."""
        if orphans := [key for key in lost if key not in self.tasks or key in self.failed]:
            message = f"needs {', '.join(key[:12] for key in orphans[:3])}, which is not in the store and not planned"
            fix = "run the study that makes it"
            self._fail(task, StoreError(Problem(code="E-STORE-04", place=task.label, message=message, fix=fix)))
            return
        for key in lost:
            if key in self.finished:
                self.finished.discard(key)
                self.weight_left += self.tasks[key].weight
                self.outcome.done = [done for done in self.outcome.done if done.key != key]
                self.outcome.reused = [reused for reused in self.outcome.reused if reused.key != key]
                self._offer(key)
        self._offer(task.key)
        self._tell(Happened.AGAIN, task, message=error.lines()[0] if error else "what it needs is made again")

    def _give_up_waiting(self) -> None:
        for key, holder in list(self.held.items()):
            minutes = holder.silent_seconds / 60
            problem = Problem(
                code="E-LOCK-01",
                place=self.tasks[key].label,
                message=f"leased by {holder}, no sign of life for {minutes:.0f} min",
                fix=f"if that run is dead: retrain-equivalence store unlock {key[:12]}",
            )
            self._fail(self.tasks[key], BusyError(problem))
        self.ready = [entry for entry in self.ready if entry[2] not in self.failed]
        heapq.heapify(self.ready)

    def _prune(self, keys: frozenset[Key]) -> None:
        """Do what dead processes left undone: their tasks' checkpoints, if the task itself is committed."""
        committed = [key for key in sorted(keys) if self.store.has(key)]
        with suppress(MachineError):
            discard_checkpoints(self.store, committed)
            for key in committed:
                if self.store.claim(key) is None:
                    self.store.release(key)

    def _release_after_failure(self, key: Key) -> None:
        """Give a lease back, unless the object is committed and its checkpoints cannot be removed.

        Then the lease stays: when this process has ended it tells the next run that the work lacks its last step.
        """
        with suppress(MachineError):
            if self.store.has(key):
                discard_checkpoints(self.store, (key,))
            self.store.release(key)

    def _release(self, key: Key) -> None:
        # A lease is a hint: that it cannot be given back must not hide what went wrong with the task.
        with suppress(MachineError):
            self.store.release(key)

    def _tell(
        self,
        happened: Happened,
        task: Task | None,
        *,
        seconds: float = 0.0,
        message: str = "",
        detail: str = "",
        running: int = 0,
    ) -> None:
        counts = Counts(
            total=len(self.tasks),
            done=len(self.outcome.done),
            reused=len(self.outcome.reused),
            failed=len(self.failed),
            running=len(self.running) + running,
        )
        elapsed = time.monotonic() - self.began
        eta = max(self.weight_left, 0.0) * elapsed / self.weight_done if self.weight_done > 0 else None
        self.progress(
            Event(
                happened=happened,
                task=task,
                counts=counts,
                seconds=seconds,
                elapsed_seconds=elapsed,
                eta_seconds=eta,
                message=message,
                detail=detail,
            )
        )
