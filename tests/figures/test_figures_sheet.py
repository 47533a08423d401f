"""A figure as one file: everything is on the sheet, and it is well-formed XML that asks nobody for anything."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from retrain_equivalence.figures.elements import Figure, Table
from retrain_equivalence.figures.legend import Entry
from retrain_equivalence.figures.palette import SERIES
from retrain_equivalence.figures.sheet import sheet

PANEL = '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="80" viewBox="0 0 100 80"><path d="M0 0L9"/></svg>'


def figure(n_panels: int, title: str = "Gap <1> & more") -> Figure:
    return Figure(
        name="gap",
        title=title,
        panels=(PANEL,) * n_panels,
        legend=(Entry(label="A & B", mark="line", colour=SERIES[0].light),),
        caption="n = 3",
        table=Table.of("t", [], []),
    )


@pytest.mark.parametrize("n_panels", [1, 3, 4])
def test_every_panel_is_inside_the_sheet_and_none_covers_another(n_panels: int) -> None:
    root = ET.fromstring(sheet(figure(n_panels)))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    nested = [e for e in root if e.tag.endswith("}svg") and e.get("viewBox") == "0 0 100 80"]
    corners = [(float(e.get("x", -1)), float(e.get("y", -1))) for e in nested]
    assert len(set(corners)) == n_panels
    assert all(0 < x <= width - 100 and 0 < y <= height - 80 for x, y in corners)
    for i, (x, y) in enumerate(corners):
        assert all(abs(x - u) >= 100 or abs(y - v) >= 80 for u, v in corners[:i])


def test_words_are_escaped_and_shown_once() -> None:
    drawn = sheet(figure(1))
    texts = [e.text for e in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Gap <1> & more", "A & B"]
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


def test_a_panel_without_a_size_is_refused() -> None:
    broken = Figure(name="x", title="x", panels=("<svg></svg>",), caption="", table=Table.of("t", [], []))
    with pytest.raises(ValueError, match="viewBox"):
        sheet(broken)
