"""A figure as one SVG file: title, legend and panels on one sheet, for a document that cannot hold a page."""

from __future__ import annotations

import re
from html import escape

from retrain_equivalence.figures.chart import FONT, SVG
from retrain_equivalence.figures.elements import Figure
from retrain_equivalence.figures.palette import INK, SURFACE

GAP, LINE, LETTER = 16, 20, 6.6
"""Pixels between panels, of a line of the legend, and of a letter of it on average."""
LEAST = 760
"""Pixels of width, so that the legend over a single panel need not stand in a column."""
ABREAST = 3
"""Panels in a row."""
_SIZE = re.compile(r'<svg[^>]*?\bviewBox="0 0 (\d+) (\d+)"')


def sheet(figure: Figure) -> str:
    """Return the figure as the text of an SVG file on a light ground.

    Args:
        figure: its panels are drawn already; its caption and table stay with the document that shows the sheet.
    """
    sizes = [_size(panel) for panel in figure.panels]
    rows = [range(i, min(i + ABREAST, len(sizes))) for i in range(0, len(sizes), ABREAST)]
    width = max([sum(sizes[i][0] for i in row) + GAP * (len(row) + 1) for row in rows] or [0])
    width = max(width, LEAST, round(2 * GAP + LETTER * 1.25 * len(figure.title)))
    parts: list[str] = []
    y = GAP + LINE
    parts.append(_text(GAP, y - 5, figure.title, size=15, weight="bold"))
    x = float(GAP)
    for entry in figure.legend:
        step = 28 + 8 + LETTER * len(entry.label) + 2 * GAP
        if x > GAP and x + step > width:
            x, y = float(GAP), y + LINE
        parts.append(_placed(entry.swatch(), x, y + 3))
        parts.append(_text(x + 36, y + 14, entry.label, size=12))
        x += step
    y += LINE if figure.legend else 0
    for row in rows:
        x, y = float(GAP), y + GAP
        for i in row:
            parts.append(_placed(figure.panels[i], x, y))
            x += sizes[i][0] + GAP
        y += max(sizes[i][1] for i in row)
    height = y + GAP
    ground = f'<rect width="{width}" height="{height}" fill="{SURFACE.light}"/>'
    return (
        f'<svg xmlns="{SVG}" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FONT}" role="img" aria-label="{escape(figure.title)}">{ground}{"".join(parts)}</svg>\n'
    )


def _size(drawing: str) -> tuple[int, int]:
    found = _SIZE.search(drawing)
    if found is None:
        raise ValueError("a panel is an <svg> with a viewBox, as chart.to_svg makes it")
    return int(found.group(1)), int(found.group(2))


def _placed(drawing: str, x: float, y: float) -> str:
    return drawing.replace("<svg", f'<svg x="{x:g}" y="{y:g}"', 1)


def _text(x: float, y: float, words: str, *, size: int, weight: str = "normal") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{INK.light}">{escape(words)}</text>'
    )
