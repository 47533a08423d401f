"""What an executor is: it does one task at a time in each of its slots, and knows nothing of what a task means."""

from __future__ import annotations

import traceback
from concurrent.futures import Future
from importlib import import_module
from typing import Any, Protocol

from retrain_equivalence.core.errors import InstrumentError, Problem, RunError
from retrain_equivalence.execution.signals import StopFlag
from retrain_equivalence.execution.task import Body, Task


class Executor(Protocol):
    """Does tasks somewhere. Used as a context manager: leaving it ends the workers."""

    @property
    def slots(self) -> int:
        """How many tasks it can do at the same time, >= 1."""
        ...

    def submit(self, task: Task) -> Future[None]:
        """Begin a task.

        The future holds None, or an `InstrumentError`, or `Interrupted` if the body saved itself because the run's
        stop flag was set; it is cancelled if the body had not begun.
        """
        ...

    @property
    def broken(self) -> InstrumentError | None:
        """Why it can do nothing at all any more, if so: every task would fail in that way."""
        ...

    def close(self) -> None:
        """End the workers; futures that are not done are cancelled."""
        ...


def open_body(factory: str, arguments: dict[str, Any], stop: StopFlag) -> Body:
    """Import `module:function` and call it.

    Args:
        factory: the name of a function `(arguments, stop) -> Body`.
        arguments: JSON-like data, since it may have to cross a process border.
        stop: the flag that the bodies look at.

    Raises:
        InstrumentError: what the factory raised; E-RUN-13 with the traceback as a note for anything unexpected.
    """
    module, _, name = factory.partition(":")
    try:
        body: Body = getattr(import_module(module), name)(arguments, stop)
    except InstrumentError:
        raise
    except Exception as error:
        unopened = not_opened(f"{type(error).__name__}: {str(error)[:120]}")
        unopened.add_note("".join(traceback.format_exception(error)))
        raise unopened from error
    return body


def not_opened(reason: str) -> RunError:
    """Return the error of an executor that cannot begin to work."""
    message = f"cannot be opened: {reason}"
    fix = "see the lines above, or run with --workers 0 --debug"
    return RunError(Problem(code="E-RUN-13", place="workers", message=message, fix=fix))
