"""The one error tree: everything a reader may have to act upon.

Design. Code raises an `InstrumentError` of the right family with one or more `Problem`s; the command line prints one
line per problem and exits with the family's documented code. A family owns a prefix (`E-CFG`, `E-DATA`, ...), so the
code alone tells whether the study, the data, the store, the machine or the run is at fault.

    InstrumentError
    ├── StudyError      E-CFG    3   the study file or the plan is invalid; nothing was started
    ├── InputError      E-DATA   4   data, a model directory or a tokenizer is refused; nothing was started
    ├── StoreError      E-STORE  5   the store is corrupt, foreign or newer; or two results share one key
    ├── MachineError    E-ENV    6   disk, permission, memory, device, library, network
    ├── BusyError       E-LOCK   7   another run holds what is needed
    └── RunError        E-RUN    8   a stage, a trajectory or a probe failed; what is finished is kept
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

MAX_SHOWN = 20
MAX_LINE = 300


def visible(text: str, *, limit: int | None = None) -> str:
    """Return `text` with every non-printable character escaped, so that foreign text cannot act in a terminal.

    Control characters, bidirectional overrides, zero-width characters and newlines become `\\xNN`, `\\uNNNN` or
    `\\UNNNNNNNN`; printable text is unchanged. With `limit`, at most that many characters are kept and `…` is added.

    >>> visible("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    if limit is not None and len(shown) > limit:
        return shown[: max(0, limit - 1)] + "…"
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, where, and what to do about it."""

    code: str
    """Family and number, for example `E-DATA-03`; `retrain-equivalence explain CODE` has a paragraph."""
    place: str
    """`file:line[:column]`, a dotted field, or a key prefix; empty if there is none."""
    message: str
    """What is wrong: found and expected."""
    fix: str = ""
    """What to do; empty if the message says it."""
    severity: str = "error"
    """`error` or `warning`."""

    def line(self) -> str:
        """Return the one line that is shown: `error[CODE]: place: message. Fix: fix`, at most 300 characters."""
        place = f"{visible(self.place)}: " if self.place else ""
        fix = f" Fix: {visible(self.fix)}" if self.fix else ""
        head = f"{self.severity}[{self.code}]: {place}"
        room = MAX_LINE - len(head) - len(fix) - len(".")
        message = visible(self.message, limit=max(room, 40))
        if fix and not message.endswith((".", "?", "!", ")")):
            message += "."
        return visible(f"{head}{message}{fix}", limit=MAX_LINE)


class InstrumentError(Exception):
    """Base of everything that this package raises for its user.

    Args:
        *problems: one or more problems, all of the same family, in the order in which they should be read.
    """

    exit_code: ClassVar[int] = 1
    prefix: ClassVar[str] = "E"

    def __init__(self, *problems: Problem) -> None:
        if not problems:
            raise ValueError("an InstrumentError needs at least one Problem")
        for problem in problems:
            if not problem.code.startswith(self.prefix + "-"):
                raise ValueError(f"{type(self).__name__} carries {self.prefix}-NN codes, not {problem.code}")
        self.problems: tuple[Problem, ...] = problems
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return the lines to print: at most 20 problems, then how many more there are."""
        shown = [problem.line() for problem in self.problems[:MAX_SHOWN]]
        if (rest := len(self.problems) - MAX_SHOWN) > 0:
            shown.append(f"… and {rest} more")
        return shown

    @classmethod
    def of(cls, code: str, place: str, message: str, fix: str = "") -> InstrumentError:
        """Return the error of this family with a single problem."""
        return cls(Problem(code=code, place=place, message=message, fix=fix))

    def __reduce__(self) -> tuple[type[InstrumentError], tuple[Problem, ...]]:
        # Exceptions cross process borders by their arguments; ours are the problems, not the joined text.
        return type(self), self.problems


class StudyError(InstrumentError):
    """The study file, or the plan made from it, is invalid; nothing was started."""

    exit_code = 3
    prefix = "E-CFG"


class InputError(InstrumentError):
    """Data, a model directory or a tokenizer is refused; nothing was started."""

    exit_code = 4
    prefix = "E-DATA"


class StoreError(InstrumentError):
    """The store is corrupt, foreign or newer than this version, or a key has two different results."""

    exit_code = 5
    prefix = "E-STORE"


class MachineError(InstrumentError):
    """Disk, permission, memory, device, library or network: retry after fixing it."""

    exit_code = 6
    prefix = "E-ENV"


class BusyError(InstrumentError):
    """Another run holds what is needed: retry later."""

    exit_code = 7
    prefix = "E-LOCK"


class RunError(InstrumentError):
    """A stage, a trajectory or a probe failed; everything else is committed."""

    exit_code = 8
    prefix = "E-RUN"


FAMILIES: tuple[type[InstrumentError], ...] = (StudyError, InputError, StoreError, MachineError, BusyError, RunError)


def raise_all(family: type[InstrumentError], problems: Iterable[Problem]) -> None:
    """Raise `family` with all `problems` at once; return quietly if there is none."""
    found = tuple(problems)
    if found:
        raise family(*found)
