"""Tasks in warm worker processes: the bodies are opened, and torch is imported, once per worker.

Why not `concurrent.futures.ProcessPoolExecutor`: one dead worker breaks its whole pool and every running task with it;
its children run the user's main module again and are interrupted by the terminal's Ctrl-C together with the parent; and
what crosses its pipes is pickled. Here a worker is a fresh interpreter that was never forked from a process with
threads. It gets keys and labels as lines of JSON, ignores signals, ends with its parent, and is replaced when it dies.

One thread of the parent owns the workers. `submit` only queues a task and wakes it.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from retrain_equivalence.core.errors import InstrumentError, Problem, RunError
from retrain_equivalence.execution.executors.base import not_opened
from retrain_equivalence.execution.executors.messages import line_of, message_of, of_task, to_error
from retrain_equivalence.execution.executors.source import source_digest
from retrain_equivalence.execution.signals import HANDLED, Interrupted, StopFlag
from retrain_equivalence.execution.task import Task
from retrain_equivalence.store.disk import is_machine_fault, machine_error
from retrain_equivalence.store.local import to_stderr

ATTEMPTS = 3
_FAREWELL_SECONDS = 5.0
_LOOK_SECONDS = 0.1
"""How soon a stop flag that was set by a signal is seen."""
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from retrain_equivalence.execution.executors.worker import work; work(int(sys.argv[2]), int(sys.argv[3]))"
)


def environment_of_workers(threads: int) -> dict[str, str]:
    """Return what must stand in a worker's environment before numpy and torch are imported.

    Args:
        threads: threads per task, >= 1.
    """
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {
        **count,
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TOKENIZERS_PARALLELISM": "false",
        # Inputs are ingested before the first task; tasks never touch the network.
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


@dataclass(slots=True, kw_only=True, eq=False)
class _Job:
    task: Task
    future: Future[None]
    deaths: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    reading: int
    writing: int
    buffer: bytearray = field(default_factory=bytearray)
    ready: bool = False
    stopped: bool = False
    job: _Job | None = None


class ProcessExecutor:
    """Does tasks in `workers` processes.

    Args:
        factory: `module:function`, called once in each worker; importable from there.
        arguments: what it is called with: JSON-like data.
        workers: how many processes, >= 1; they start when there is work for them.
        stop: the run's flag; when it is set, the workers are told and what is queued is cancelled.
        threads: threads per task; stands in the workers' environment before torch is imported.
        environment: further variables of the workers' environment.
        warn: told when a worker died and its task is tried again; a line on stderr by default.
    """

    def __init__(
        self,
        factory: str,
        arguments: dict[str, Any],
        *,
        workers: int,
        stop: StopFlag,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
        warn: Callable[[Problem], None] = to_stderr,
    ) -> None:
        if workers < 1:
            raise ValueError("a process executor needs at least one worker")
        n_threads = int(arguments.get("threads", 1)) if threads is None else threads
        self.slots = workers
        self._stop = stop
        self._warn = warn
        self._environment = {**os.environ, **environment_of_workers(n_threads), **(environment or {})}
        opening = {"factory": factory, "arguments": arguments, "source": source_digest()}
        self._opening = line_of({"open": opening})
        self._queue: deque[_Job] = deque()
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self.broken: InstrumentError | None = None
        self._closing = False
        self._guard = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="workers", daemon=True)
        self._thread.start()

    # -- the caller's side ---------------------------------------------------------------------------------------

    def submit(self, task: Task) -> Future[None]:
        """Queue a task for the next free worker."""
        job = _Job(task=task, future=Future())
        with self._guard:
            if self._closing:
                raise RuntimeError("the executor is closed")
            if self.broken is None:
                self._queue.append(job)
            else:
                job.future.set_exception(self.broken)
        self._wake()
        return job.future

    def close(self) -> None:
        """End the workers: an idle one goes by itself, one in the middle of a task is killed."""
        with self._guard:
            if self._closing:
                return
            self._closing = True
        self._wake()
        self._thread.join()
        os.close(self._woken)
        os.close(self._waker)
        self._selector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wake(self) -> None:
        try:
            os.write(self._waker, b".")
        except BlockingIOError:
            # The pipe is full of calls to wake up already.
            return

    # -- the thread's side ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        # Workers inherit this thread's mask: no signal reaches one before it has decided to ignore them.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        while not self._closing:
            try:
                self._feed()
            except OSError as error:
                at_fault = is_machine_fault(error)
                self._break(machine_error(error, "workers", "starting one") if at_fault else not_opened(str(error)))
            for found, _ in self._selector.select(timeout=_LOOK_SECONDS):
                if found.data is None:
                    self._drain_waker()
                else:
                    self._hear(found.data)
            for worker in list(self._workers):
                # A grandchild may hold the pipe open after its parent died.
                if worker.process.poll() is not None:
                    self._hear(worker)
                    self._bury(worker)
        self._end()

    def _drain_waker(self) -> None:
        try:
            while os.read(self._woken, 4096):
                continue
        except BlockingIOError:
            return

    def _feed(self) -> None:
        if self._stop.is_set():
            for worker in self._workers:
                if not worker.stopped:
                    worker.stopped = True
                    self._tell(worker, line_of({"stop": self._stop.signal}))
            self._cancel_queue()
            return
        while job := self._next_job():
            idle = next((worker for worker in self._workers if worker.ready and worker.job is None), None)
            if idle is None:
                with self._guard:
                    self._queue.appendleft(job)
                starting = sum(not worker.ready for worker in self._workers)
                if len(self._workers) < self.slots and starting < len(self._queue):
                    self._start()
                    continue
                return
            if job.future.running() or job.future.set_running_or_notify_cancel():
                idle.job = job
                self._tell(idle, line_of({"task": of_task(job.task)}))

    def _next_job(self) -> _Job | None:
        with self._guard:
            return self._queue.popleft() if self._queue else None

    def _cancel_queue(self) -> None:
        while job := self._next_job():
            if job.future.running():
                job.future.set_exception(Interrupted())
            else:
                job.future.cancel()
                job.future.set_running_or_notify_cancel()

    def _start(self) -> None:
        to_worker, writing = os.pipe()
        reading, from_worker = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own text
                [sys.executable, "-P", "-c", _START, json.dumps(sys.path), str(to_worker), str(from_worker)],
                env=self._environment,
                pass_fds=(to_worker, from_worker),
                stdin=subprocess.DEVNULL,
                # stdout is the answer of the command; whatever a library prints in a worker is not part of it.
                stdout=sys.__stderr__.fileno() if sys.__stderr__ else subprocess.DEVNULL,
            )
        except OSError:
            os.close(writing)
            os.close(reading)
            raise
        finally:
            os.close(to_worker)
            os.close(from_worker)
        os.set_blocking(reading, False)
        worker = _Worker(process=process, reading=reading, writing=writing)
        self._workers.append(worker)
        self._selector.register(reading, selectors.EVENT_READ, worker)
        self._tell(worker, self._opening)

    def _tell(self, worker: _Worker, line: bytes) -> None:
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(worker.writing, left) :]
        except BrokenPipeError:
            # It is dead or dying; its own pipe will say so.
            return

    def _hear(self, worker: _Worker) -> None:
        if worker not in self._workers:
            return
        try:
            while received := os.read(worker.reading, 65536):
                worker.buffer += received
            ended = True
        except BlockingIOError:
            ended = False
        while (end := worker.buffer.find(b"\n")) >= 0:
            line = bytes(worker.buffer[:end])
            del worker.buffer[: end + 1]
            self._take(worker, message_of(line))
        if ended:
            self._bury(worker)

    def _take(self, worker: _Worker, message: dict[str, Any]) -> None:
        if "ready" in message:
            worker.ready = True
            self._failed_starts = 0
            return
        if "refused" in message:
            self._break(to_error(message["refused"]))
            return
        job, worker.job = worker.job, None
        if job is None:
            return
        if "done" in message:
            job.future.set_result(None)
        elif "interrupted" in message:
            job.future.set_exception(Interrupted())
        else:
            job.future.set_exception(to_error(message["failed"]))

    def _bury(self, worker: _Worker) -> None:
        """Take a worker that has ended out of service, and see to its task."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        self._selector.unregister(worker.reading)
        os.close(worker.reading)
        os.close(worker.writing)
        code = worker.process.wait()
        job = worker.job
        if job is not None:
            self._retry(job, code)
        elif not worker.ready and self.broken is None and not self._closing:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS:
                self._break(not_opened(_end_of(code)))

    def _retry(self, job: _Job, code: int) -> None:
        job.deaths += 1
        problem = Problem(
            code="E-RUN-10",
            place=job.task.label,
            message=f"its worker died, {_end_of(code)} (attempt {job.deaths} of {ATTEMPTS})",
            fix="look for what ended it; if memory was short, use fewer --workers",
        )
        if self._stop.is_set():
            job.future.set_exception(Interrupted())
        elif job.deaths >= ATTEMPTS:
            job.future.set_exception(RunError(problem))
        else:
            again = f"{problem.message}, trying again"
            self._warn(Problem(code=problem.code, place=problem.place, message=again, severity="warning"))
            with self._guard:
                self._queue.appendleft(job)

    def _break(self, error: InstrumentError) -> None:
        """No worker can do anything: everything that waits, or will be asked for, fails with `error`."""
        with self._guard:
            self.broken = self.broken or error
            waiting = list(self._queue)
            self._queue.clear()
        for job in waiting:
            if job.future.running() or job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)

    def _end(self) -> None:
        self._cancel_queue()
        for worker in self._workers:
            self._selector.unregister(worker.reading)
            os.close(worker.writing)
        for worker in self._workers:
            if worker.job is not None:
                worker.process.kill()
            try:
                worker.process.wait(_FAREWELL_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            os.close(worker.reading)
            if worker.job is not None:
                worker.job.future.set_exception(Interrupted())
        self._workers.clear()


def _end_of(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    hint = " (often the system, out of memory)" if -code == signal.SIGKILL else ""
    return f"killed by {signal.Signals(-code).name}{hint}"
