"""What there is to know about a distance before it is chosen.

Each file of `pointwise/`, `distributional/` and `parameter/` states its card beside the formula; the catalogue lists
them all, `list distances` and docs/distances.md print them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["pointwise", "distributional", "parameter"]
"""Pointwise: one state against one state, on fixed texts. Distributional: one set of runs, or the mean over items,
against another. Parameter: weights against weights, on no text at all."""

Lumping = Literal["lower bound", "neither bound", "exact", "no cells"]
"""What sorting a vocabulary into fewer cells does to the number. Exact: the scored token keeps a cell of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One distance in words."""

    name: str
    """How the table, or the file, calls it."""
    level: Level
    """What is held against what."""
    what: str
    """One sentence with the formula."""
    unit: str
    """Unit of a value; empty for a pure number."""
    range: str
    """Smallest and largest value that can occur."""
    direction: str
    """What a smaller and a larger number means."""
    symmetric: bool
    """Whether both sides may be exchanged."""
    hilbertian: bool
    """Whether it is a squared norm, so that seed noise can be subtracted."""
    lumping: Lumping
    """Effect of lumped or truncated vocabularies."""
    bias: str
    """What the estimate does to the number: lumped cells, few runs, storage."""
    sees: str
    """Which differences move it."""
    blind: str
    """Which differences it cannot see."""
    source: str
    """Where it is defined, and how an independent implementation calls it."""
    row: str = ""
    """How the rows of a study call it; empty where no row holds it."""
