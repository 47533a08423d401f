from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd

from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.palette import series_of
from retrain_equivalence.figures.panel import HEIGHT, WIDTH, Band, common_domain, line_panel
from retrain_equivalence.figures.thin import thinned

SVG = "{http://www.w3.org/2000/svg}"


def draw(frame: pd.DataFrame, names: list[str], **options: object) -> ET.Element:
    chart = line_panel(
        frame, series_of([(n, n) for n in names]), title="t", x_title="x", y_title="y", **options  # type: ignore[arg-type]
    )  # fmt: skip
    return ET.fromstring(to_svg(chart, name="p", label="l"))


def lines(root: ET.Element) -> list[str]:
    return [e.get("d", "") for e in root.iter(f"{SVG}path") if "stroke" in e.attrib and "fill" not in e.attrib]


def many(n_series: int, n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"series": np.repeat([f"s{i}" for i in range(n_series)], n), "x": np.tile(np.arange(n, dtype=float), n_series),
         "y": rng.normal(size=n_series * n).cumsum()}
    )  # fmt: skip


def test_a_hundred_thousand_points_are_few_elements() -> None:
    root = draw(many(10, 10_000), [f"s{i}" for i in range(10)])
    assert sum(1 for _ in root.iter()) <= 200 and len(lines(root)) == 10
    assert len(ET.tostring(root)) < 300_000


def test_all_panels_have_one_size_whatever_their_labels_need() -> None:
    short = many(1, 5)
    long = short.assign(y=short["y"] * 1e7)
    sizes = {draw(frame, ["s0"]).get("viewBox") for frame in (short, long)}
    assert sizes == {f"0 0 {WIDTH} {HEIGHT}"}


def test_a_missing_value_breaks_the_line() -> None:
    frame = pd.DataFrame({"series": "a", "x": [0.0, 1, 2, 3, 4], "y": [1.0, 2, None, 3, 4]})
    (path,) = lines(draw(frame, ["a"]))
    assert path.count("M") == 2


def test_a_log_axis_leaves_out_what_is_not_positive() -> None:
    frame = pd.DataFrame({"series": "a", "x": [0.0, 1, 2], "y": [1e-3, -1.0, 1e-1]})
    (path,) = lines(draw(frame, ["a"], log=True))
    assert path.count("L") == 1 and "NaN" not in path and "Infinity" not in path


def test_rows_in_another_order_of_series_draw_the_same() -> None:
    frame = many(3, 20)
    shuffled = frame.sort_values(["x", "series"], kind="stable")
    assert ET.tostring(draw(frame, ["s0", "s1", "s2"])) == ET.tostring(draw(shuffled, ["s0", "s1", "s2"]))


def test_bands_are_drawn_behind() -> None:
    frame = many(1, 5).assign(low=lambda f: f["y"] - 1, high=lambda f: f["y"] + 1)
    without, with_band = draw(frame, ["s0"]), draw(frame, ["s0"], bands=[Band(value=0.0, low=-1.0, high=1.0)])
    assert sum(1 for _ in with_band.iter()) > sum(1 for _ in without.iter())


def test_thinning_keeps_extremes_and_ends() -> None:
    frame = pd.DataFrame({"x": np.arange(50_000.0), "y": np.sin(np.arange(50_000) / 1000)})
    frame.loc[31_234, "y"], frame.loc[7, "y"] = 50.0, -50.0
    kept = thinned(frame, 300)
    assert len(kept) <= 4 * 300
    assert {kept["y"].max(), kept["y"].min()} == {50.0, -50.0}
    assert kept["x"].iloc[0] == 0 and kept["x"].iloc[-1] == 49_999 and kept["x"].is_monotonic_increasing


def test_few_points_are_left_alone() -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0], "y": [1.0, 2.0]})
    assert thinned(frame, 300) is frame


def test_a_common_domain_needs_a_finite_value() -> None:
    assert common_domain([None, float("nan")]) is None and common_domain([-1.0], log=True) is None
    low, high = common_domain([0.01, 10.0], log=True) or (0.0, 0.0)
    assert 0 < low < 0.01 and 10 < high < 20
    assert common_domain([2.0, 2.0]) == (1.9, 2.1)


def test_a_cloud_draws_every_point_and_no_line() -> None:
    def points(root: ET.Element) -> int:
        return sum("fill" in e.attrib for e in root.iter(f"{SVG}path"))

    frame = many(2, 100)
    joined, cloud = draw(frame, ["s0", "s1"]), draw(frame, ["s0", "s1"], joined=False)
    assert len(lines(joined)) == 2 and not lines(cloud)
    assert points(cloud) - points(joined) == 2 * (100 - 1)


def test_numbers_on_the_axis_read_as_numbers() -> None:
    def labels(top: float) -> set[str]:
        frame = pd.DataFrame({"series": "a", "x": [0.0, 1], "y": [0.0, top]})
        return {e.text or "" for e in draw(frame, ["a"]).iter(f"{SVG}text")}

    assert {"0", "50"} <= labels(50.0)
    assert any("e+" in label for label in labels(4e6)) and not any("e+" in label for label in labels(4e4))


def test_chosen_steps_are_ringed_and_a_common_one_stands_upright() -> None:
    frame = pd.DataFrame({"series": ["a"] * 3, "x": [0, 5, 10], "y": [3.0, 1.0, 2.0]})
    series = series_of([("a", "A")])
    rings = pd.DataFrame({"series": ["a"], "x": [5], "y": [1.0]})
    bare, marked = (
        to_svg(line_panel(frame, series, title="t", x_title="x", y_title="y", **more), name="r", label="l")  # type: ignore[arg-type]
        for more in ({}, {"rings": rings, "uprights": [10.0]})
    )
    assert len(marked) > len(bare) and marked.count("stroke-dasharray") == bare.count("stroke-dasharray") + 1
