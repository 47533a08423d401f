"""Progress of a run on stderr: bars on a terminal, a plain line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retrain_equivalence.cli import common

if TYPE_CHECKING:
    from retrain_equivalence.execution.runner import Event

PLAIN_SECONDS = 60.0


@contextmanager
def shown(name: str) -> Iterator[Callable[[Event], None]]:
    """Yield the function that a run tells of its tasks."""
    if sys.stderr.isatty():
        with _bars(name) as watch:
            yield watch
    else:
        yield _plain_lines(name)


def _is_news(event: Event) -> bool:
    # What failed is counted here and listed once, at the end, by the verb.
    return bool(event.message) and event.happened != "failed"


def _plain_lines(name: str) -> Callable[[Event], None]:
    last = [0.0]

    def watch(event: Event) -> None:
        counts = event.counts
        if _is_news(event):
            print(event.message, file=sys.stderr, flush=True)
        if counts.left == 0 or time.monotonic() - last[0] > PLAIN_SECONDS:
            last[0] = time.monotonic()
            left = "" if event.eta_seconds is None else f", about {common.duration(event.eta_seconds)} left"
            print(
                f"{name}: {counts.done} of {counts.total} tasks done, {counts.reused} reused, "
                f"{counts.failed} failed{left}",
                file=sys.stderr,
                flush=True,
            )

    return watch


@contextmanager
def _bars(name: str) -> Iterator[Callable[[Event], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[left]}"))  # fmt: skip
    with Progress(*columns, console=common.people()) as bars:
        bar = bars.add_task(name[:10], total=None, left="")

        def watch(event: Event) -> None:
            if _is_news(event):
                bars.console.print(event.message, markup=False)
            counts = event.counts
            left = "" if event.eta_seconds is None else f"about {common.duration(event.eta_seconds)} left"
            reused = f"  {counts.reused} reused" if counts.reused else ""
            bars.update(bar, total=counts.total, completed=counts.done + counts.reused, left=left + reused)

        yield watch
