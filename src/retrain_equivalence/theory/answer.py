"""An answer of the theory: plain sentences, tables for a terminal, numbers for a program, figures for a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from retrain_equivalence.figures.elements import Figure, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one subcommand of `retrain-equivalence theory` says."""

    name: str
    """The subcommand."""
    title: str
    """Heading of its section in a page."""
    question: str
    """In one sentence, ending with a question mark."""
    says: tuple[str, ...]
    """What was found, in plain words, with numbers, n and conditions."""
    settings: Mapping[str, Any]
    """Everything that the numbers depend on: seeds, sizes, laws, step sizes. JSON types."""
    numbers: Mapping[str, Any]
    """The findings in full precision. JSON types; what is undefined or infinite is a text that says so, never NaN."""
    tables: tuple[Table, ...]
    """For the terminal and the page."""
    draw: Callable[[], tuple[Figure, ...]]
    """Draws the figures; called only for a page, since drawing takes longer than computing."""
