"""One quantity over many worlds: its values where it exists, and how often it does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from retrain_equivalence.theory.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One quantity over independent worlds."""

    label: str
    """As a table calls it."""
    values: tuple[float, ...]
    """In the worlds in which it exists."""
    n_without: int = 0
    """Worlds in which it does not (no bound, never reached): counted, in no summary."""

    @classmethod
    def of(cls, label: str, values: Iterable[float | None]) -> Finding:
        """Collect a quantity; None where it does not exist.

        >>> Finding.of("t", [3, None, 5]).text()
        '4 (3 to 5), 1 without'
        """
        found = list(values)
        kept = tuple(float(v) for v in found if v is not None)
        return cls(label=label, values=kept, n_without=len(found) - len(kept))

    @property
    def summary(self) -> Summary | None:
        """None if it exists in no world."""
        return Summary.of(self.values) if self.values else None

    def text(self, digits: int = 3) -> str:
        """Return median and range, and in how many worlds there is none."""
        if self.summary is None:
            return "in no world"
        found = self.summary.text(digits)
        return f"{found}, {self.n_without} without" if self.n_without else found

    def numbers(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "summary": self.summary.numbers() if self.summary else "undefined in every world",
            "n_without": self.n_without,
            "values": list(self.values),
        }
