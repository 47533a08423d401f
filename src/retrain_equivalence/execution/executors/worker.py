"""The worker's side of the process executor: open the bodies once, then do tasks until the parent goes away.

A terminal's Ctrl-C and a service manager's TERM go to the whole process group; the parent decides what they mean, so a
worker ignores them and follows the parent's messages. When the parent is gone, its end of the pipe closes, and the
worker ends at once: no orphan goes on writing.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from typing import Any

from retrain_equivalence.core.errors import InstrumentError, MachineError, Problem
from retrain_equivalence.execution.executors.base import open_body
from retrain_equivalence.execution.executors.messages import line_of, message_of, of_error, to_task
from retrain_equivalence.execution.executors.source import source_digest
from retrain_equivalence.execution.signals import HANDLED, Interrupted, StopFlag
from retrain_equivalence.execution.task import Body, Task, explained


def work(reading: int, writing: int) -> None:
    """Serve tasks.

    Args:
        reading: descriptor of the pipe from the parent.
        writing: descriptor of the pipe to it.
    """
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)
    # The parent starts its workers with these blocked, so that none arrives before the lines above.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    os.set_inheritable(reading, False)
    os.set_inheritable(writing, False)
    stop, tasks = StopFlag(), queue.SimpleQueue[dict[str, Any]]()
    threading.Thread(target=_listen, args=(reading, stop, tasks), name="parent", daemon=True).start()
    body = _open(tasks.get()["open"], stop, writing)
    _say(writing, {"ready": True})
    while True:
        _say(writing, _do(body, to_task(tasks.get()["task"])))


def _open(asked: dict[str, Any], stop: StopFlag, writing: int) -> Body:
    try:
        if source_digest() != asked["source"]:
            problem = Problem(
                code="E-ENV-09",
                place="worker",
                message="the package's source is not the one that made the plan",
                fix="do not change the package while it runs; run again",
            )
            raise MachineError(problem)
        return open_body(asked["factory"], asked["arguments"], stop)
    except InstrumentError as error:
        _say(writing, {"refused": of_error(error)})
        os._exit(0)


def _do(body: Body, task: Task) -> dict[str, Any]:
    try:
        body(task)
    except Interrupted:
        return {"interrupted": True}
    except Exception as error:
        return {"failed": of_error(explained(task, error))}
    return {"done": True}


def _say(writing: int, message: dict[str, Any]) -> None:
    left = memoryview(line_of(message))
    try:
        while left:
            left = left[os.write(writing, left) :]
    except BrokenPipeError:
        os._exit(1)


def _listen(reading: int, stop: StopFlag, tasks: queue.SimpleQueue[dict[str, Any]]) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            message = message_of(line)
            if "stop" in message:
                stop.set(message["stop"])
            else:
                tasks.put(message)
    # The store needs no farewell: what is not committed is an unfinished attempt of a dead process.
    os._exit(0)
