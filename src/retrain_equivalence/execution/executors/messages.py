"""What parent and worker say to each other: one JSON object per line over two pipes.

No pickles: nothing that comes out of a pipe can run code, and nothing large can slip into one.

    parent -> worker   {"open": {...}}, then {"task": {...}} | {"stop": number};  end of file: end at once
    worker -> parent   {"ready": true}, then {"done": true} | {"failed": {...}} | {"interrupted": true}
"""

from __future__ import annotations

import json
from typing import Any

from retrain_equivalence.core.errors import FAMILIES, InstrumentError, Problem
from retrain_equivalence.core.identity import Key, plain
from retrain_equivalence.execution.task import Task


def line_of(message: dict[str, Any]) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, allow_nan=False).encode() + b"\n"


def message_of(line: bytes) -> dict[str, Any]:
    """Read what `line_of` wrote."""
    message: dict[str, Any] = json.loads(line)
    return message


def of_task(task: Task) -> dict[str, Any]:
    """Return a task as JSON-like data."""
    found: dict[str, Any] = plain(task)
    return found


def to_task(found: dict[str, Any]) -> Task:
    """Read what `of_task` wrote."""
    return Task(
        kind=found["kind"],
        key=Key(found["key"]),
        needs=tuple(Key(key) for key in found["needs"]),
        label=found["label"],
        weight=found["weight"],
    )


def of_error(error: InstrumentError) -> dict[str, Any]:
    """Return an error as JSON-like data, its notes (the traceback) included."""
    return {
        "family": type(error).__name__,
        "problems": [plain(problem) for problem in error.problems],
        "notes": list(getattr(error, "__notes__", ())),
    }


def to_error(found: dict[str, Any]) -> InstrumentError:
    """Read what `of_error` wrote."""
    family = next(family for family in FAMILIES if family.__name__ == found["family"])
    error = family(*(Problem(**problem) for problem in found["problems"]))
    for note in found["notes"]:
        error.add_note(note)
    return error
