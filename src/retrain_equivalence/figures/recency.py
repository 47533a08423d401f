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


PARTS: tuple[tuple[str, str], ...] = (("total", "total"), ("head_start", "head start"), ("speed", "speed"))
"""Frame name and words of the decomposition: total = head start + speed."""


def parts_panel(
    frame: pd.DataFrame, *, title: str, x_title: str, domain: tuple[float, float] | None = None
) -> alt.TopLevelMixin:
    """Return total, head start and speed of each contrast as intervals around zero.

    Args:
        frame: columns `label` (the contrast), `part` (see `PARTS`), `estimate`, `low`, `high`.
        title: of this panel.
        x_title: with unit.
        domain: common to neighbouring panels.
    """
    import altair as alt
    import pandas as pd

    data = frame.copy()
    data["label"] = [shown(text, 30) for text in data["label"]]
    words = dict(PARTS)
    data["part"] = [words[part] for part in data["part"]]
    order = list(dict.fromkeys(data["label"]))
    parts = [word for _, word in PARTS]
    scale: Any = alt.Scale(zero=True, nice=domain is None)
    if domain:
        scale.domain = list(domain)
    axis = alt.Axis(title=shown(x_title), grid=True, tickCount=5)
    x = alt.X("estimate:Q", scale=scale, axis=axis)
    y = alt.Y(
        "label:N",
        sort=order,
        scale=alt.Scale(domain=order),
        axis=alt.Axis(title=None, domain=False, ticks=False, grid=False, labelColor=INK.light),
    )
    offset = alt.YOffset("part:N", sort=parts, scale=alt.Scale(domain=parts))
    colours, shapes = [INK.light, SERIES[0].light, SERIES[1].light], ["square", "circle", "triangle-up"]
    colour = alt.Color("part:N", scale=alt.Scale(domain=parts, range=colours), legend=None)
    shape = alt.Shape("part:N", scale=alt.Scale(domain=parts, range=shapes), legend=None)
    zero = alt.Chart(pd.DataFrame({"estimate": [0.0]})).mark_rule(color=MUTED.light).encode(x=x)
    bars = alt.Chart(data.dropna(subset=["low", "high"])).mark_rule(strokeWidth=2, clip=True).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", y=y, yOffset=offset, color=colour
    )  # fmt: skip
    points = alt.Chart(data.dropna(subset=["estimate"])).mark_point(size=60, opacity=1).encode(
        x=x, y=y, yOffset=offset, color=colour, shape=shape
    )  # fmt: skip
    return finished([zero, bars, points], title, height=max(150, 84 + 50 * len(order)))
