"""A task: one object of the store that is to be made, and what went wrong if it could not be."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from retrain_equivalence.core.errors import InstrumentError, MachineError, RunError
from retrain_equivalence.core.identity import Key
from retrain_equivalence.store.disk import is_machine_fault, machine_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One object that is to be made; small enough to cross process borders as text."""

    kind: str
    """`base`, `dataset`, `stage`, `unlearn`, `probe`, `distance`."""
    key: Key
    """What is in the store when the task is done."""
    needs: tuple[Key, ...]
    """Keys that must be in the store before."""
    label: str
    """For people: never part of an identity."""
    weight: float
    """Expected seconds, or anything proportional to them, >= 0."""


Body = Callable[[Task], None]
"""Does a task: reads and writes the store itself and leaves the task's key in it."""


def explained(task: Task, error: Exception) -> InstrumentError:
    """Return what an exception out of a body means for the user; the traceback travels as a note, for the log.

    Our own errors stay as they are; exhausted memory and refusals of the operating system are the machine's, anything
    else is a failed task (E-RUN-11), so that one bug costs one task and its dependants.
    """
    if isinstance(error, InstrumentError):
        return error
    found: InstrumentError
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        found = MachineError.of(
            "E-ENV-05", task.label, "out of memory",
            "use fewer --workers, or a smaller micro-batch (which changes the numbers, and so the keys)",
        )  # fmt: skip
    elif isinstance(error, OSError) and is_machine_fault(error):
        found = machine_error(error, str(error.filename or task.label), f"doing {task.label}")
    else:
        message = f"{task.kind} raised {type(error).__name__}: {str(error)[:120]}"
        found = RunError.of("E-RUN-11", task.label, message, "run with --debug for the traceback and report it")
    found.add_note("".join(traceback.format_exception(error)))
    return found
