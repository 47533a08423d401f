"""A study without torch: ten tasks whose stages are a recurrence in numpy, with in-stage checkpoints in the store.

Run as a script it is a small command line over the real store, runner and executors:

    python execution_stub_study.py STORE [workers] [seconds per step]
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain_equivalence.core.identity import Key, key_of
from retrain_equivalence.execution.executors.process import ProcessExecutor
from retrain_equivalence.execution.executors.serial import SerialExecutor
from retrain_equivalence.execution.runner import Event, Outcome, execute
from retrain_equivalence.execution.signals import Interrupted, StopFlag, stopping
from retrain_equivalence.execution.task import Body, Task
from retrain_equivalence.store.base import Store
from retrain_equivalence.store.checkpoints import Checkpoints
from retrain_equivalence.store.local import LocalStore

FACTORY = "execution_stub_study:open_stub"
N_STEPS, EVERY = 4, 2
RECIPES: dict[Key, Any] = {}


def plan() -> list[Task]:
    """Base, two stages in both orders, an unlearning of each end, a probe of each, the distance: children first."""
    tasks: dict[str, Task] = {}

    def add(name: str, kind: str, *parents: str) -> None:
        recipe = {"name": name, "steps": N_STEPS}
        needs = tuple(tasks[parent].key for parent in parents)
        key = key_of(kind, recipe, needs)
        RECIPES[key] = recipe
        tasks[name] = Task(kind=kind, key=key, needs=needs, label=f"{kind} {name}", weight=float(len(name)))

    add("base", "base")
    add("a", "stage", "base")
    add("b", "stage", "base")
    add("a>b", "stage", "a")
    add("b>a", "stage", "b")
    add("a>b@ga", "unlearn", "a>b")
    add("b>a@ga", "unlearn", "b>a")
    add("a>b@ga/loss", "probe", "a>b@ga")
    add("b>a@ga/loss", "probe", "b>a@ga")
    add("gap", "distance", "a>b@ga/loss", "b>a@ga/loss")
    return list(reversed(tasks.values()))


PLAN = plan()


def label(name: str) -> Task:
    return next(task for task in PLAN if task.label.split(" ")[1] == name)


def body_of(store: Store, stop: StopFlag, arguments: dict[str, Any]) -> Body:
    """Return a body over any store; `arguments` makes it slow, wrong or deadly on request."""

    def body(task: Task) -> None:
        checkpoints = Checkpoints(store, task.key, N_STEPS)
        if store.has(task.key):
            checkpoints.clear()
            return
        misbehave(task)
        parents = {need: store.get(need) for need in task.needs}
        state = np.zeros(8) + sum(np.frombuffer(found.read("state.bin")) for found in parents.values())
        first = 0
        if task.kind in ("stage", "unlearn") and (kept := checkpoints.newest()):
            first, state = kept[0], np.frombuffer(kept[2]["state.bin"])
        drive = int(task.key[:8], 16) / 2**32
        for step in range(first + 1, N_STEPS + 1):
            time.sleep(arguments.get("pause", 0.0))
            state = 0.9 * state + np.sin(drive * step + np.arange(8))
            if task.kind in ("stage", "unlearn") and step < N_STEPS and (step % EVERY == 0 or stop.is_set()):
                checkpoints.save(step, {"state.bin": state.tobytes()})
                if stop.is_set():
                    raise Interrupted
        digests = {need: found.manifest.digest for need, found in parents.items()}
        files: dict[str, bytes | Path] = {"state.bin": state.tobytes(), "log.json": b'{"steps":4}'}
        store.put(task.key, kind=task.kind, recipe=RECIPES[task.key], parents=digests, files=files)
        checkpoints.clear()

    def misbehave(task: Task) -> None:
        wrong = arguments.get("wrong", {}).get(task.label)
        if wrong == "raise":
            raise ValueError("a bug in the body")
        if wrong == "memory":
            raise MemoryError
        if wrong == "die":
            os._exit(9)
        if wrong == "die once":
            flag = Path(arguments["store"]).parent / "died"
            if not flag.exists():
                flag.touch()
                os._exit(9)
        if wrong == "environment":
            names = ("PYTHONHASHSEED", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            raise ValueError(" ".join(os.environ[name] for name in names) + f" torch={'torch' in sys.modules}")

    return body


def open_stub(arguments: dict[str, Any], stop: StopFlag) -> Body:
    """The factory of both executors."""
    if arguments.get("factory") == "raise":
        raise ValueError("no such study")
    if arguments.get("factory") == "die":
        os._exit(3)
    if opened := arguments.get("opened"):
        with Path(opened).open("a") as file:
            file.write(f"{os.getpid()}\n")
    return body_of(LocalStore(Path(arguments["store"])), stop, arguments)


def run_stub(
    root: Path,
    *,
    workers: int = 0,
    stop: StopFlag | None = None,
    progress: Callable[[Event], None] = lambda event: None,
    rebuild: bool = True,
    **arguments: Any,
) -> Outcome:
    """Run the study on the store in `root`."""
    flag, given = stop or StopFlag(), {"store": str(root), **arguments}
    store = LocalStore(root, rebuild=rebuild)
    if workers:
        with ProcessExecutor(FACTORY, given, workers=workers, stop=flag) as pool:
            return execute(PLAN, store=store, executor=pool, stop=flag, progress=progress)
    with SerialExecutor(FACTORY, given, stop=flag) as executor:
        return execute(PLAN, store=store, executor=executor, stop=flag, progress=progress)


def fingerprint(root: Path) -> dict[str, str]:
    """SHA-256 of every byte of every object."""
    files = sorted(path for path in (root / "objects").rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def leftovers(root: Path) -> list[str]:
    """Unfinished attempts and leases, which nobody may leave behind."""
    return [str(path) for path in [*(root / "tmp").iterdir(), *(root / "leases").glob("*.json")]]


SYSCALLS = ("open", "write", "fsync", "rename", "mkdir", "unlink", "rmdir", "chmod", "fchmod")


class Faults:
    """Counts the store's writing system calls; at the k-th one the process dies, or the call fails."""

    def __init__(self, *, at: int = 0, fails_with: int | None = None, only: tuple[str, ...] = SYSCALLS) -> None:
        self.count, self.at, self.fails_with, self.only = 0, at, fails_with, only
        self.names: list[str] = []

    def install(self) -> None:
        for name in self.only:
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            self.count += 1
            self.names.append(name)
            if self.count == self.at:
                if self.fails_with is not None:
                    raise OSError(self.fails_with, os.strerror(self.fails_with), str(args[0]))
                if name == "write":
                    # A process may die in the middle of a write.
                    real(args[0], args[1][: len(args[1]) // 2])
                os._exit(137)
            return real(*args, **kwargs)

        return call


def in_fork(work: Callable[[], int]) -> int:
    """Do `work` in a forked copy of this process; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> int:
    root, workers = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    stop = StopFlag()
    with stopping(stop):
        outcome = run_stub(
            root,
            workers=workers,
            stop=stop,
            pause=float(sys.argv[3]) if len(sys.argv) > 3 else 0.0,
            progress=lambda event: print(event.happened, event.task.label if event.task else "", flush=True),
        )
    print(f"made {len(outcome.done)}", flush=True)
    return outcome.exit_code


if __name__ == "__main__":
    # Workers import the factory by its module's name, so the plan must live there too.
    sys.exit(__import__("execution_stub_study").main())
