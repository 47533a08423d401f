"""Colours, dashes and shapes: what tells one series from another, for every eye and on both backgrounds.

Design. A colour is a *token* with a light and a dark value. Charts are drawn with the light values; `chart.to_svg`
then rewrites each of them as `var(--token, #light)`, so one static picture follows the reader's colour scheme and still
shows its light colours when it is saved alone. No series is told apart by colour only: each has its own dash and shape.

The eight series colours are Okabe and Ito's (2008) hues, darkened on white and lightened on black until each has at
least 3:1 contrast with its background (a test computes it).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A named colour with a value for each background."""

    name: str
    """CSS custom property without its dashes."""
    light: str
    """`#rrggbb` on white; unique among the tokens, since charts are rewritten by it."""
    dark: str
    """`#rrggbb` on near-black."""


INK = Token(name="ink", light="#1f2328", dark="#e8eaed")
MUTED = Token(name="muted", light="#57606a", dark="#a3adb8")
RULE = Token(name="rule", light="#d5d9de", dark="#3a424c")
SURFACE = Token(name="surface", light="#ffffff", dark="#14181d")
ORACLE = Token(name="oracle", light="#6b7280", dark="#98a2ad")
MARGIN = Token(name="margin", light="#9a3412", dark="#fda172")

SERIES: tuple[Token, ...] = (
    Token(name="series-1", light="#0067a3", dark="#5bb5ee"),
    Token(name="series-2", light="#c45100", dark="#ff9143"),
    Token(name="series-3", light="#007a59", dark="#35c796"),
    Token(name="series-4", light="#a63d84", dark="#e88cc4"),
    Token(name="series-5", light="#8a6500", dark="#e6b422"),
    Token(name="series-6", light="#4f55c4", dark="#a9acff"),
    Token(name="series-7", light="#7b4a2a", dark="#d2a27c"),
    Token(name="series-8", light="#3f4750", dark="#c3c9d0"),
)

EQUIVALENT = Token(name="equivalent", light="#006d5b", dark="#38c9a7")
DIFFERENT = Token(name="different", light="#b3261e", dark="#ff8a80")
INCONCLUSIVE = Token(name="inconclusive", light="#6a5d00", dark="#d8c24a")
ESTIMATED = Token(name="estimated", light="#3b4754", dark="#b9c2cc")

TOKENS: tuple[Token, ...] = (
    INK, MUTED, RULE, SURFACE, ORACLE, MARGIN, *SERIES, EQUIVALENT, DIFFERENT, INCONCLUSIVE, ESTIMATED,
)  # fmt: skip
"""Every colour that a chart or the page may use."""

DASHES: tuple[tuple[int, ...], ...] = (
    (1, 0), (7, 3), (2, 2), (8, 3, 2, 3), (12, 3), (4, 2, 1, 2, 1, 2), (1, 3), (10, 2, 3, 2),
)  # fmt: skip
"""One dash pattern per series, in pixels on and off; the first is solid."""

SHAPES: tuple[str, ...] = (
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left",
)  # fmt: skip
"""One point shape per series, by Vega's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart: its name in the frame, its words, and its looks."""

    name: str
    """As in the frame's `series` column."""
    label: str
    """As shown to the reader."""
    colour: str
    """A token's light value."""
    dash: tuple[int, ...]
    shape: str


def series_of(labels: Iterable[tuple[str, str]]) -> tuple[Series, ...]:
    """Give looks to `(name, label)` pairs, in order.

    Beyond eight series colours repeat with the next dash, and beyond 64 looks repeat: then a reader needs the table.

    >>> [s.shape for s in series_of([("a", "A"), ("b", "B")])]
    ['circle', 'square']
    """
    return tuple(
        Series(
            name=name,
            label=label,
            colour=SERIES[i % len(SERIES)].light,
            dash=DASHES[(i + i // len(SERIES)) % len(DASHES)],
            shape=SHAPES[(i + i // len(SERIES)) % len(SHAPES)],
        )
        for i, (name, label) in enumerate(labels)
    )
