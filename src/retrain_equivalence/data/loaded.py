"""What a data set's own file returns: all rows of the source, before any are chosen."""

from __future__ import annotations

from dataclasses import dataclass

from retrain_equivalence.data.example import Example, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Rows with their places and their provenance."""

    rows: tuple[Example, ...]
    places: tuple[str, ...]
    """`file:line` of each row, for messages."""
    provenance: Provenance
    sensitive: bool = False
    chosen: bool = False
    """Whether the rows are already those that were asked for (a generator makes as many as it is told)."""
    repeats: bool = False
    """Whether equal rows are in the nature of the source (plain text): then they are no problem."""
