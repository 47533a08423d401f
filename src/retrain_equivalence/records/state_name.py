"""The name of a state: which history and replicate, and how far it was unlearned."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = "(0|[1-9][0-9]*)"
_WRITTEN = re.compile(f"([^#@]+)#{_NUMBER}(?:@([^#@:]+):{_NUMBER})?")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class StateName:
    """A trained state (`unlearning` empty, step 0) or an unlearned one; written `a>b#3` or `a>b#3@ga:10`."""

    history: str
    replicate: int
    unlearning: str = ""
    step: int = 0

    def __str__(self) -> str:
        trained = f"{self.history}#{self.replicate}"
        return f"{trained}@{self.unlearning}:{self.step}" if self.unlearning else trained

    @classmethod
    def parse(cls, text: str) -> StateName:
        """Read what `str()` wrote. Raises `ValueError` for anything else."""
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise ValueError(f"not a state name: {text!r}")
        history, replicate, unlearning, step = found.groups()
        return cls(history=history, replicate=int(replicate), unlearning=unlearning or "", step=int(step or 0))
