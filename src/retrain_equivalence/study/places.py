"""Places: where in which file each value of a study was written.

A path is a tuple of keys and list indices in the form of the file, `("stages", 0, "learning_rate")`; it is shown
dotted, `stages.0.learning_rate`, which is also the form that `--set` takes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from retrain_equivalence.core.errors import Problem, visible

Path = tuple[str | int, ...]
"""Keys and list indices, outermost first."""

_LONGEST_FILE = 80
_LONGEST_FIELD = 60


class Position(NamedTuple):
    """A place in a file: `file:line:column`, both counted from 1; line 0 means that there is no file behind it."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        # A long folder would push the message out of the line; the file's own name is what the reader needs.
        shown = self.file if len(self.file) <= _LONGEST_FILE else "…" + self.file[1 - _LONGEST_FILE :]
        return f"{shown}:{self.line}:{self.column}" if self.line else shown


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as it is shown and as `--set` takes it.

    >>> dotted(("stages", 0, "name"))
    'stages.0.name'
    """
    text = ".".join(str(part) for part in path)
    return visible(text, limit=_LONGEST_FIELD)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` was probably meant to be, or None."""
    known = list(dict.fromkeys(names))
    by_lower = {known_name.lower(): known_name for known_name in known}
    found = difflib.get_close_matches(name.lower()[:100], by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def suggestion(name: str, names: Iterable[str], what: str = "known") -> str:
    """Return the fix for a wrong name: the nearest of `names`, else the first few of them."""
    known = list(dict.fromkeys(names))
    if (near := nearest(name, known)) is not None:
        return f"did you mean '{near}'?"
    return f"{what}: {', '.join(known[:8])}{', …' if len(known) > 8 else ''}" if known else ""


@dataclass(slots=True)
class Places:
    """The positions of a study's values, and the problems found at them, in the order in which they were found."""

    whole: Position
    """Stands for the study as a whole."""
    positions: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)
    """Paths whose value the reader refused already: what follows from that is not reported."""
    defaults: Mapping[str, str] = field(
        default_factory=lambda: {"stages": "training", "unlearnings": "unlearning_training"}
    )
    """Which block supplies what a list's entries leave out."""

    def written(self, path: Path) -> Path:
        """Return the path at which the value of `path` was written: its own, or that of the block of defaults."""
        if path not in self.positions and len(path) == 3 and path[0] in self.defaults:
            block: Path = (self.defaults[str(path[0])], path[2])
            if block in self.positions:
                return block
        return path

    def position(self, path: Path) -> Position:
        """Return where `path` was written, or where the nearest thing around it was."""
        here = self.written(path)
        while here:
            if here in self.positions:
                return self.positions[here]
            here = here[:-1]
        return self.positions.get((), self.whole)

    def add(self, code: str, path: Path, message: str, fix: str = "", *, severity: str = "error") -> None:
        """Note one problem with the field at `path`; the same problem is noted once."""
        shown = dotted(self.written(path))
        text = f"{shown}: {message}" if shown else message
        problem = Problem(code=code, place=str(self.position(path)), message=text, fix=fix, severity=severity)
        if problem not in self.problems:
            self.problems.append(problem)

    def warn(self, code: str, path: Path, message: str, fix: str = "") -> None:
        """Note something doubtful that is not an error."""
        self.add(code, path, message, fix, severity="warning")

    def errors(self) -> tuple[Problem, ...]:
        """Return the errors, in the order of their places in the files."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings."""
        return tuple(problem for problem in self.problems if problem.severity != "error")
