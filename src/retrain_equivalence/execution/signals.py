"""Stopping in good order: one flag that bodies look at, set by SIGINT, SIGTERM and SIGHUP.

The first signal sets the flag: a body saves a checkpoint at its next step and raises `Interrupted`. The second one ends
the process at once. Python runs handlers between bytecodes of the main thread only, and a long native call may be
running there; so the numbers of signals also go to a pipe that a thread reads, and it is the thread that acts.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A body has saved itself because it was asked to stop; its key is not in the store."""


class StopFlag:
    """Set once, never cleared; looking at it costs nothing."""

    def __init__(self) -> None:
        # A plain attribute, not threading.Event: a handler may run while the main thread holds the event's lock.
        self._signal: int | None = None

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._signal is not None

    def set(self, number: int = signal.SIGINT) -> None:
        """Ask to stop, because of that signal."""
        if self._signal is None:
            self._signal = int(number)

    @property
    def signal(self) -> int | None:
        """The first signal that asked to stop."""
        return self._signal

    @property
    def exit_code(self) -> int:
        """129, 130 or 143 after HUP, INT or TERM; 0 if nothing asked to stop."""
        return 0 if self._signal is None else 128 + self._signal


def say(line: str) -> None:
    """Write a line where people read, if anybody does."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


@contextmanager
def stopping(stop: StopFlag, told: Callable[[str], None] = say) -> Iterator[None]:
    """Let signals set `stop` while the block runs.

    Outside the main thread, where signals cannot be handled, the block runs unchanged.

    Args:
        stop: is set by the first signal. After it, SIGINT ends the process at once with 130, SIGTERM with 143.
        told: called with one line when a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watcher = threading.Thread(target=_watch, args=(reading, stop, told), name="signals", daemon=True)
    watcher.start()
    earlier = {number: signal.signal(number, lambda *_: None) for number in HANDLED}
    earlier_descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier_descriptor)
        for number, handler in earlier.items():
            signal.signal(number, handler)
        os.close(writing)
        watcher.join()
        os.close(reading)


def _watch(reading: int, stop: StopFlag, told: Callable[[str], None]) -> None:
    while received := os.read(reading, 64):
        for number in received:
            if number not in HANDLED:
                continue
            if not stop.is_set():
                stop.set(number)
                told("interrupted: finishing the step, saving (Ctrl-C again to stop now)")
            elif number != signal.SIGHUP:
                told("stopped; what is committed is kept")
                # The store needs no farewell: what is not committed is an unfinished attempt of a dead process.
                os._exit(128 + number)
