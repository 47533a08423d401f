"""Recency: steps to the oracle's forget level against the position of the forget stage, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrain_equivalence.figures.chart import shown
from retrain_equivalence.figures.palette import INK, MUTED, SERIES, SURFACE, Series
from retrain_equivalence.figures.panel import finished

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


def position_panel(
    frame: pd.DataFrame,
    series: Sequence[Series],
    *,
    title: str,
    y_title: str,
    y_domain: tuple[float, float] | None = None,
    x_title: str = "position of the forget stage",
) -> alt.TopLevelMixin:
    """Return one point with its interval per history, in the order of `series`.

    Args:
        frame: columns `series`, `y`, `low`, `high`, `whole`: false draws a hollow point (not all runs reached it), and
            `beyond`: the last step where no run reached it, else nan.
        series: the histories in positional order; the label is the tick.
        title: of this panel.
        y_title: with unit.
        y_domain: common to neighbouring panels.
        x_title: what the order of `series` means.
    """
    import altair as alt

    data = frame.copy()
    by_name = {s.name: shown(s.label, 16) for s in series}
    data = data.loc[data["series"].isin(list(by_name))]
    data["tick"] = [by_name[name] for name in data["series"]]
    names, ticks = list(by_name), list(by_name.values())
    scale: Any = alt.Scale(zero=y_domain is None, nice=y_domain is None)
    if y_domain:
        scale.domain = list(y_domain)
    axis = alt.Axis(title=shown(y_title))
    x_axis = alt.Axis(title=x_title, labelAngle=0, ticks=False, labelOverlap="greedy")
    x = alt.X("tick:N", sort=ticks, scale=alt.Scale(domain=ticks), axis=x_axis)
    y = alt.Y("y:Q", scale=scale, axis=axis)
    colour = alt.Color("series:N", scale=alt.Scale(domain=names, range=[s.colour for s in series]), legend=None)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=[s.shape for s in series]), legend=None)
    line = alt.Chart(data.dropna(subset=["y"])).mark_line(color=MUTED.light, strokeWidth=1).encode(x=x, y=y)
    bars = alt.Chart(data.dropna(subset=["low", "high"])).mark_rule(strokeWidth=2, clip=True).encode(
        x=x, y=alt.Y("low:Q", scale=scale, axis=axis), y2="high:Q", color=colour
    )  # fmt: skip
    points = (
        alt.Chart(data.dropna(subset=["y"])).mark_point(size=80, opacity=1).encode(x=x, y=y, color=colour, shape=shape)
    )
    partly = data.loc[~data["whole"]].dropna(subset=["y"])
    hollow = alt.Chart(partly).mark_point(size=26, fill=SURFACE.light, opacity=1, strokeWidth=0).encode(x=x, y=y)
    above = (
        alt.Chart(data.dropna(subset=["beyond"]))
        .mark_point(size=70, shape="triangle-up", filled=False, color=MUTED.light, opacity=1)
        .encode(x=x, y=alt.Y("beyond:Q", scale=scale, axis=axis))
    )
    return finished([line, bars, points, hollow, above], title, height=250)


PARTS: tuple[Series, ...] = (
    Series(name="total", label="total", colour=INK.light, dash=(1, 0), shape="square"),
    Series(name="head_start", label="head start", colour=SERIES[0].light, dash=(1, 0), shape="circle"),
    Series(name="speed", label="speed", colour=SERIES[1].light, dash=(1, 0), shape="triangle-up"),
)
"""Looks of the decomposition, which `beside.beside_panel` draws: total = head start + speed."""
