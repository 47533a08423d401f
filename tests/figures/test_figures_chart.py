from __future__ import annotations

import xml.etree.ElementTree as ET

import altair as alt
import pandas as pd
import pytest

from retrain_equivalence.figures.chart import shown, to_svg
from retrain_equivalence.figures.palette import SERIES, TOKENS, series_of
from retrain_equivalence.figures.panel import line_panel

FRAME = pd.DataFrame({"series": ["a"] * 3, "x": [0.0, 1, 2], "y": [1.0, 3, 2], "low": [0.5, 2, 1], "high": [2.0, 4, 3]})
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt;",
    "]]>",
    "\x00\x1b[31m",
    "\u202eevil",
    "a\nb",
]


def panel(title: str = "t", label: str = "A") -> alt.TopLevelMixin:
    return line_panel(FRAME, series_of([("a", label)]), title=title, x_title="steps", y_title="nats/token")


def test_a_drawing_is_one_labelled_image_without_outer_references() -> None:
    svg = to_svg(panel(), name="fig", label="rises then falls")
    root = ET.fromstring(svg)
    assert root.get("role") == "img" and root.get("aria-label") == "rises then falls"
    assert root[0].tag.endswith("}title") and root[0].text == "rises then falls"
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "title", "g", "path", "line", "text", "rect", "defs", "clipPath", "tspan"}
    assert not [a for e in root.iter() for a in e.attrib if a in ("style", "href", "class") or a.startswith("on")]


def test_bytes_do_not_depend_on_what_was_drawn_before() -> None:
    first = to_svg(panel(), name="fig", label="x")
    for i in range(3):
        to_svg(panel(f"other {i}"), name=f"other-{i}", label="x")
    assert to_svg(panel(), name="fig", label="x") == first


def test_ids_are_prefixed_so_that_pictures_share_a_page() -> None:
    # Values beyond the axis are what needs a clip path.
    cut = line_panel(FRAME, series_of([("a", "A")]), title="t", x_title="x", y_title="y", y_domain=(1.5, 2.5))
    one, two = (ET.fromstring(to_svg(cut, name=name, label="x")) for name in ("one", "two"))
    ids = [{e.get("id") for e in root.iter() if e.get("id")} for root in (one, two)]
    assert ids[0] and all(i.startswith("one-") for i in ids[0]) and not ids[0] & ids[1]
    used = {v for e in one.iter() for a, v in e.attrib.items() if a == "clip-path"}
    assert used == {f"url(#{i})" for i in ids[0]}


def test_colours_follow_the_page_and_keep_a_fallback() -> None:
    svg = to_svg(panel(), name="fig", label="x")
    assert f"var(--series-1, {SERIES[0].light})" in svg
    bare = svg
    for token in TOKENS:
        bare = bare.replace(f"var(--{token.name}, {token.light})", "")
    assert "#" not in bare.replace("url(#", "")


@pytest.mark.parametrize("payload", HOSTILE)
def test_foreign_text_is_text(payload: str) -> None:
    benign = ET.fromstring(to_svg(panel("title"), name="fig", label="label"))
    root = ET.fromstring(to_svg(panel(payload), name="fig", label=payload))
    assert sorted(e.tag for e in root.iter()) == sorted(e.tag for e in benign.iter())
    assert shown(payload, 48) in [e.text for e in root.iter() if e.text]


def test_small_numbers_lose_their_minus_zero() -> None:
    svg = to_svg(panel(), name="fig", label="x")
    assert "-0," not in svg and '"-0"' not in svg
