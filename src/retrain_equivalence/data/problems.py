"""A list of problems that grows while data are read, so that one run reports all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from retrain_equivalence.core.errors import InputError, Problem, visible

MAX_COLLECTED = 10_000
"""Reading stops after this many problems: a file with so many is of another kind, and each costs memory."""

MAX_QUOTED = 40
"""Escaped characters of foreign text that a message may quote."""


def quoted(text: str) -> str:
    """Return at most 40 escaped characters of `text` in quotation marks."""
    return f"'{visible(text, limit=MAX_QUOTED)}'"


def short_place(shown: str) -> str:
    """Return a file's name for a message, its beginning cut where it is long, so that the fix still fits the line."""
    return shown if len(shown) <= 80 else f"…{shown[-79:]}"


@dataclass(slots=True)
class Problems:
    """Errors and warnings in the order in which they were found."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Finished lines; kept with the provenance."""

    def add(self, number: int, place: str, message: str, fix: str = "") -> None:
        """Note an error E-DATA-`number`."""
        self.errors.append(Problem(code=f"E-DATA-{number:02d}", place=place, message=message, fix=fix))

    def warn(self, number: int, place: str, message: str) -> None:
        """Note something that is accepted."""
        problem = Problem(code=f"E-DATA-{number:02d}", place=place, message=message, severity="warning")
        self.warnings.append(problem.line())

    @property
    def full(self) -> bool:
        """Whether reading should stop."""
        return len(self.errors) >= MAX_COLLECTED

    def raise_errors(self) -> None:
        """Raise `InputError` with every error; return quietly if there is none."""
        if self.errors:
            raise InputError(*self.errors)
