"""What verbs share: opening a study, the runtime of the options, and printing answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console

    from retrain_equivalence.data.ingest import Locations
    from retrain_equivalence.execution.api import Runtime
    from retrain_equivalence.execution.plan import Plan
    from retrain_equivalence.store.base import Store
    from retrain_equivalence.store.local import LocalStore
    from retrain_equivalence.study.study import Study

PLAIN_WIDTH = 150
"""Columns of tables where there is no terminal."""


def open_study(sources: Sequence[str], overrides: Sequence[str] | None, plugins: Sequence[Path] | None) -> Study:
    """Load a study from what was typed."""
    from retrain_equivalence.study.load import load_study

    return load_study(*sources, overrides=tuple(overrides or ()), plugins=tuple(plugins or ()))


def runtime_of(
    sources: Sequence[str],
    *,
    workers: int | None = None,
    data_dir: Path | None = None,
    offline: bool = False,
    device: Literal["cpu", "cuda"] = "cpu",
    plugins: Sequence[Path] | None = None,
) -> Runtime:
    """Return the runtime that the options describe."""
    from retrain_equivalence.execution.api import Runtime
    from retrain_equivalence.study.sources import study_directory

    return Runtime(
        workers=workers,
        data_dir=data_dir,
        study_dir=study_directory(sources),
        offline=offline,
        device=device,
        plugins=tuple(plugins or ()),
    )


def store_to_read(path: Path | None) -> Store:
    """Return the store, or an empty one in memory where there is none: looking makes nothing."""
    from retrain_equivalence.core.errors import MachineError
    from retrain_equivalence.store.local import open_store
    from retrain_equivalence.store.memory import MemoryStore

    try:
        return open_store(path, create=False)
    except MachineError as error:
        if error.problems[0].code != "E-ENV-11":
            raise
        return MemoryStore()


def locations_of(data_dir: Path | None) -> Locations:
    """Return where the sources of a finished study are looked for; relative paths start at the current folder."""
    from retrain_equivalence.execution.api import Runtime

    return Runtime(data_dir=data_dir).locations


def answer() -> Console:
    """Return the console of stdout, where answers go."""
    from rich.console import Console

    # A table in a log should not be cut to an imagined terminal.
    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def people() -> Console:
    """Return the console of stderr, where progress and remarks go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False))


def duration(seconds: float) -> str:
    """Return seconds as `1 h 02 min`, `3 min 05 s` or `4 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def size(n_bytes: float) -> str:
    """Return bytes as `3.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def what_is_left(planned: Plan, store: LocalStore, workers: int) -> str:
    """Return one line on a plan: how many tasks there are, how many are reused, how long the rest takes."""
    from retrain_equivalence.execution.estimate import estimate

    found = estimate(planned, store, workers=workers)
    reused = sum(entry.cached for entry in found.kinds)
    left = len(planned.planned) - reused
    if not left:
        time = "nothing is left to do"
    elif found.wall is None:
        time = "how long they take is known once some are done"
    else:
        time = f"about {duration(found.wall)} on {found.workers or 1} workers ({found.basis})"
    return f"{planned.study.name}: {len(planned.planned):,} tasks, {reused:,} reused, {left:,} to do; {time}"
