"""Some numbers of each row beside one another, with their intervals: what is read, and what it is read against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrain_equivalence.figures.chart import shown
from retrain_equivalence.figures.palette import INK, MARGIN, MUTED, SURFACE, Series
from retrain_equivalence.figures.panel import finished

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

AROUND, LINE, BETWEEN = 84, 14, 8
"""Pixels of title and axis, of one number, and between two rows."""
LEAST = 150
"""Pixels of height of a panel with a single row."""


def beside_panel(
    frame: pd.DataFrame,
    kinds: Sequence[Series],
    *,
    title: str,
    x_title: str,
    domain: tuple[float, float] | None = None,
    nothing: float | None = 0.0,
    margins: Sequence[float] = (),
    bars: bool = False,
    level: bool = False,
) -> alt.TopLevelMixin:
    """Return one row per label with one mark per kind.

    Args:
        frame: columns `label` (the row, in order of first appearance), `series` (a kind's name), `estimate`, `low`,
            `high`; without bounds no interval is drawn.
        kinds: looks, from top to bottom within a row.
        title: of this panel.
        x_title: with unit.
        domain: of the horizontal axis, common to neighbouring panels; intervals are cut at it.
        nothing: where "no effect" is: a thin line; null draws none.
        margins: where a declared margin is: dashed lines.
        bars: whether each mark stands at the end of a bar from zero, for amounts such as variances.
        level: whether the marks of a row stand on one line, joined, for numbers without intervals.
    """
    import altair as alt
    import pandas as pd

    data = frame.copy()
    data["label"] = [shown(text, 34) for text in data["label"]]
    order = list(dict.fromkeys(data["label"]))
    names = [kind.name for kind in kinds]
    scale: Any = alt.Scale(zero=nothing == 0.0, nice=domain is None, clamp=domain is not None)
    if domain:
        scale.domain = list(domain)
    axis = alt.Axis(title=shown(x_title), grid=True, tickCount=5, format="~g")
    x = alt.X("estimate:Q", scale=scale, axis=axis)
    y = alt.Y(
        "label:N",
        sort=order,
        scale=alt.Scale(domain=order),
        axis=alt.Axis(title=None, domain=False, ticks=False, grid=False, labelColor=INK.light),
    )
    apart: dict[str, Any] = {}
    if not level:
        apart["yOffset"] = alt.YOffset("series:N", sort=names, scale=alt.Scale(domain=names))
    paint = alt.Scale(domain=names, range=[kind.colour for kind in kinds])
    colour = alt.Color("series:N", scale=paint, legend=None)
    fill = alt.Fill("series:N", scale=paint, legend=None)
    shapes = alt.Scale(domain=names, range=[kind.shape for kind in kinds])
    shape = alt.Shape("series:N", scale=shapes, legend=None)
    layers: list[Any] = []
    if nothing is not None:
        layers.append(alt.Chart(pd.DataFrame({"estimate": [nothing]})).mark_rule(color=MUTED.light).encode(x=x))
    if margins:
        layers.append(
            alt.Chart(pd.DataFrame({"estimate": list(margins)}))
            .mark_rule(color=MARGIN.light, strokeWidth=1.6, strokeDash=[5, 3])
            .encode(x=x)
        )
    known = data.dropna(subset=["estimate"])
    if bars:
        start = alt.X("zero:Q", scale=scale, axis=axis)
        layers.append(
            alt.Chart(known.assign(zero=0.0))
            .mark_bar(opacity=0.3, height=LINE - 4)
            .encode(x=start, x2="estimate:Q", y=y, fill=fill, **apart)
        )
    if level:
        spans = known.groupby("label", sort=False)["estimate"].agg(["min", "max"]).reset_index()
        layers.append(
            alt.Chart(spans)
            .mark_rule(color=MUTED.light, strokeWidth=1)
            .encode(x=alt.X("min:Q", scale=scale, axis=axis), x2="max:Q", y=y)
        )
    between = data.dropna(subset=["low", "high"])
    if len(between):
        layers.append(
            alt.Chart(between)
            .mark_rule(strokeWidth=2, clip=True)
            .encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", y=y, color=colour, **apart)
        )
    layers.append(
        alt.Chart(known)
        .mark_point(size=60, opacity=1, stroke=SURFACE.light, strokeWidth=0.8)
        .encode(x=x, y=y, fill=fill, shape=shape, **apart)
    )
    lines = 1 if level else len(names)
    height = AROUND + (LINE * lines + BETWEEN) * max(1, len(order))
    return finished(layers, title, height=max(LEAST, height))
