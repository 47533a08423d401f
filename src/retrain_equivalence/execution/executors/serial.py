"""Tasks in this process, one after another: `--workers 0`, and the twin of the process executor in tests."""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from retrain_equivalence.core.errors import InstrumentError
from retrain_equivalence.execution.executors.base import open_body
from retrain_equivalence.execution.signals import Interrupted, StopFlag
from retrain_equivalence.execution.task import Body, Task, explained


class SerialExecutor:
    """Does a task while `submit` runs.

    Args:
        factory: `module:function`, called once, at the first task.
        arguments: what it is called with.
        stop: the flag that the bodies look at; the same one that the runner has.
    """

    slots = 1

    def __init__(self, factory: str, arguments: dict[str, Any], *, stop: StopFlag) -> None:
        self._factory = factory
        self._arguments = arguments
        self._stop = stop
        self._body: Body | None = None
        self.broken: InstrumentError | None = None

    def submit(self, task: Task) -> Future[None]:
        """Do the task; the future is done when this returns."""
        future: Future[None] = Future()
        try:
            self._opened()(task)
        except Interrupted as error:
            future.set_exception(error)
        except Exception as error:
            future.set_exception(explained(task, error))
        else:
            future.set_result(None)
        return future

    def _opened(self) -> Body:
        if self.broken is not None:
            raise self.broken
        if self._body is None:
            try:
                self._body = open_body(self._factory, self._arguments, self._stop)
            except InstrumentError as error:
                self.broken = error
                raise
        return self._body

    def close(self) -> None:
        """Nothing is left running."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
