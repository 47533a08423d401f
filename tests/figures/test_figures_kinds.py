from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.figures.beside import beside_panel
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.forest import LOOKS, forest_panel
from retrain_equivalence.figures.legend import Entry, of_series
from retrain_equivalence.figures.palette import MARGIN, SHAPES, series_of
from retrain_equivalence.figures.recency import PARTS, position_panel
from retrain_equivalence.figures.ticks import MOST, log_ticks
from retrain_equivalence.figures.trade_off import Target, plane_panel

SERIES = series_of([("a", "p1"), ("b", "p2")])


def texts(svg: str) -> set[str]:
    return {e.text for e in ET.fromstring(svg).iter() if e.text}


def test_a_forest_has_one_row_per_label_and_its_margins() -> None:
    frame = pd.DataFrame(
        {"label": ["ga · p1", "ga · p2", "npo · p1"], "estimate": [2.0, 1.1, 1.4], "low": [1.5, 0.9, None],
         "high": [2.6, 1.3, None], "verdict": ["DIFFERENT", "EQUIVALENT", ""]}
    )  # fmt: skip
    svg = to_svg(
        forest_panel(frame, title="t", x_title="ratio", nothing=1.0, margins=[1.5], log=True), name="f", label="l"
    )
    assert {"ga · p1", "ga · p2", "npo · p1", "ratio"} <= texts(svg)
    for colour in (LOOKS[0][1], LOOKS[2][1], LOOKS[3][1]):
        assert colour in svg


def test_a_forest_without_rows_is_still_drawn() -> None:
    frame = pd.DataFrame({"label": [], "estimate": [], "low": [], "high": [], "verdict": []})
    assert to_svg(forest_panel(frame, title="t", x_title="x"), name="f", label="l").startswith("<svg")


def test_positions_keep_the_order_of_the_series() -> None:
    frame = pd.DataFrame(
        {"series": ["b", "a"], "y": [9.0, 4.0], "low": [8.0, 3.0], "high": [10.0, 5.0], "whole": [False, True],
         "beyond": [None, None]}
    ).astype({"beyond": float})  # fmt: skip
    root = ET.fromstring(to_svg(position_panel(frame, SERIES, title="t", y_title="steps"), name="r", label="l"))
    ticks = [e.text for e in root.iter() if e.text in ("p1", "p2")]
    assert ticks == ["p1", "p2"]


def test_a_history_of_which_no_run_reached_the_level_has_a_mark_at_the_last_step() -> None:
    frame = pd.DataFrame(
        {"series": ["a", "b"], "y": [4.0, None], "low": [3.0, None], "high": [5.0, None], "whole": [True, False],
         "beyond": [None, 20.0]}
    ).astype(dict.fromkeys(("y", "low", "high", "beyond"), float))  # fmt: skip

    def paths(drawn: pd.DataFrame) -> int:
        svg = to_svg(position_panel(drawn, SERIES, title="t", y_title="steps", y_domain=(0, 21)), name="r", label="l")
        return sum(e.tag.endswith("path") for e in ET.fromstring(svg).iter())

    assert paths(frame) == paths(frame.assign(beyond=float("nan"))) + 1


def test_parts_are_drawn_beside_each_other() -> None:
    frame = pd.DataFrame(
        {"label": "p2 − p1", "series": ["total", "head_start", "speed"], "estimate": [5.0, 3.0, 2.0],
         "low": [4.0, 2.0, 1.0], "high": [6.0, 4.0, 3.0]}
    )  # fmt: skip
    assert "p2 − p1" in texts(to_svg(beside_panel(frame, PARTS, title="t", x_title="steps"), name="r", label="l"))


def test_a_plane_shows_paths_and_the_target() -> None:
    frame = pd.DataFrame({"series": ["a", "a", "b", "b"], "x": [0.0, -1, 0, -2], "y": [1.0, 0.8, 1, 0.7]})
    goal = Target(x=-2.0, y=1.0, x_low=-2.1, x_high=-1.9, y_low=0.9, y_high=1.1)
    chart, bare = (
        plane_panel(frame, SERIES, targets, title="t", x_title="forget", y_title="keep") for targets in ([goal], [])
    )
    assert len(to_svg(chart, name="p", label="l")) > len(to_svg(bare, name="p", label="l"))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_a_swatch(shape: str) -> None:
    swatch = ET.fromstring(Entry(label="x", mark="point", colour="#0067a3", shape=shape).swatch())
    assert swatch.get("aria-hidden") == "true"


def test_a_legend_names_every_series_in_order() -> None:
    assert [entry.label for entry in of_series(SERIES, [Entry(label="band", mark="band", colour="#6b7280")])] == [
        "p1", "p2", "band",
    ]  # fmt: skip


@given(st.floats(1e-12, 1e6), st.floats(1.01, 1e9))
def test_log_ticks_are_few_and_inside(low: float, times: float) -> None:
    ticks = log_ticks(low, low * times)
    assert len(ticks) <= MOST + 1 and ticks == sorted(ticks) and all(low <= t <= low * times for t in ticks)
    assert ticks or times < 2.1


def test_numbers_on_one_level_are_joined_and_bars_start_at_zero() -> None:
    frame = pd.DataFrame(
        {"label": ["a", "a", "b", "b"], "series": ["a", "b"] * 2, "estimate": [1.0, 3.0, 2.0, -1.0], "low": None,
         "high": None}
    ).astype({"low": float, "high": float})  # fmt: skip
    plain, joined, bars = (
        to_svg(beside_panel(frame, SERIES, title="t", x_title="x", **how), name="b", label="l")  # type: ignore[arg-type]
        for how in ({}, {"level": True}, {"bars": True})
    )
    marks = [len(re.findall("<(?:path|line)", svg)) for svg in (plain, joined, bars)]
    # A line per row joins two points, each of which else has a line of its own.
    assert marks[1] >= marks[0] and marks[2] == marks[0] + 4
    assert all({"a", "b", "x"} <= texts(svg) for svg in (plain, joined, bars))


def test_a_margin_is_drawn_on_both_sides_of_no_effect() -> None:
    frame = pd.DataFrame({"label": ["a"], "series": ["a"], "estimate": [0.1], "low": [0.0], "high": [0.2]})
    with_margin, without = (
        to_svg(beside_panel(frame, SERIES, title="t", x_title="x", margins=margins), name="b", label="l")
        for margins in ((-0.3, 0.3), ())
    )
    assert with_margin.count(MARGIN.light) == without.count(MARGIN.light) + 2
