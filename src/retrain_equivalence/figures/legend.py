"""Legends in the page's own text: a picture of the mark beside its words, so that long names wrap and stay readable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from retrain_equivalence.figures.palette import MARGIN, ORACLE, TOKENS, Series

_VARIABLES = {token.light: f"var(--{token.name}, {token.light})" for token in TOKENS}
_SHAPES = {
    "circle": "M14 3.2a3.8 3.8 0 1 1 0 7.6a3.8 3.8 0 1 1 0-7.6Z",
    "square": "M10.6 3.6h6.8v6.8h-6.8Z",
    "triangle-up": "M14 2.4L18.4 10.4H9.6Z",
    "triangle-down": "M14 11.6L18.4 3.6H9.6Z",
    "triangle-right": "M18.6 7L10.6 2.6V11.4Z",
    "triangle-left": "M9.4 7L17.4 2.6V11.4Z",
    "diamond": "M14 1.8L18.4 7L14 12.2L9.6 7Z",
    "cross": "M12.6 2.4h2.8v3.2h3.2v2.8h-3.2v3.2h-2.8v-3.2h-3.2v-2.8h3.2Z",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a legend."""

    label: str
    mark: Literal["line", "point", "hollow", "band", "rule", "ring"]
    """`line` is a dashed line with its shape, `band` a filled interval around a dashed level."""
    colour: str
    """A token's light value."""
    dash: tuple[int, ...] = (1, 0)
    shape: str = "circle"

    def swatch(self) -> str:
        """Return the mark as a decorative `<svg>`; the words beside it say everything that it says."""
        paint = _VARIABLES.get(self.colour, self.colour)
        dash = "" if self.dash == (1, 0) else f' stroke-dasharray="{" ".join(map(str, self.dash))}"'
        line = f'<path d="M0 7H28" fill="none" stroke="{paint}" stroke-width="2"{dash}/>'
        shape = f'<path d="{_SHAPES[self.shape]}" fill="{paint}"/>'
        body = {
            "line": line + shape,
            "point": shape,
            "hollow": f'<path d="{_SHAPES[self.shape]}" fill="none" stroke="{paint}" stroke-width="1.6"/>',
            "band": f'<path d="M0 2H28V12H0Z" fill="{paint}" opacity="0.25"/>{line}',
            "rule": line,
            "ring": f'<circle cx="14" cy="7" r="5.6" fill="none" stroke="{paint}" stroke-width="2"/>',
        }[self.mark]
        return f'<svg viewBox="0 0 28 14" width="28" height="14" aria-hidden="true" focusable="false">{body}</svg>'


def of_series(series: Sequence[Series], extra: Iterable[Entry] = ()) -> tuple[Entry, ...]:
    """Return a legend of lines, followed by further entries."""
    lines = (Entry(label=s.label, mark="line", colour=s.colour, dash=s.dash, shape=s.shape) for s in series)
    return (*lines, *extra)


def of_kinds(kinds: Iterable[Series], extra: Iterable[Entry] = ()) -> tuple[Entry, ...]:
    """Return a legend of points, one per kind of number, followed by further entries."""
    points = (Entry(label=s.label, mark="point", colour=s.colour, shape=s.shape) for s in kinds)
    return (*points, *extra)


ORACLE_LEVEL = Entry(label="retrain oracle, mean and 95 % interval", mark="band", colour=ORACLE.light, dash=(5, 3))
RETRAIN_BAND = Entry(
    label="retrain-retrain distance, mean and 95 % interval", mark="band", colour=ORACLE.light, dash=(5, 3)
)
MARGIN_LINE = Entry(label="declared margin", mark="rule", colour=MARGIN.light, dash=(5, 3))
