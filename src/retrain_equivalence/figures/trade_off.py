"""Forgetting against utility: each history's path through the plane, with the oracle as the target to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_equivalence.figures.chart import shown
from retrain_equivalence.figures.palette import INK, SURFACE, Series
from retrain_equivalence.figures.panel import finished

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the oracles stand in the plane, with an interval in each direction."""

    x: float
    y: float
    x_low: float | None = None
    x_high: float | None = None
    y_low: float | None = None
    y_high: float | None = None


def plane_panel(
    frame: pd.DataFrame,
    series: Sequence[Series],
    targets: Sequence[Target],
    *,
    title: str,
    x_title: str,
    y_title: str,
    x_domain: tuple[float, float] | None = None,
    y_domain: tuple[float, float] | None = None,
) -> alt.TopLevelMixin:
    """Return one path per history, hollow before unlearning and filled at the last step, and the oracle's cross.

    Args:
        frame: columns `series`, `x`, `y`, sorted by step within a series.
        series: looks, in legend order.
        targets: the oracles.
        title: of this panel.
        x_title: forgetting, with unit.
        y_title: utility, with unit.
        x_domain: common to neighbouring panels.
        y_domain: likewise.
    """
    import altair as alt
    import pandas as pd

    by_name = {s.name: s for s in series}
    data = frame.loc[frame["series"].isin(list(by_name))].dropna(subset=["x", "y"]).reset_index(drop=True)
    data["order"] = range(len(data))
    names = list(by_name)
    x_scale: Any = alt.Scale(zero=False, nice=x_domain is None, padding=8)
    y_scale: Any = alt.Scale(zero=False, nice=y_domain is None, padding=8)
    if x_domain:
        x_scale.domain = list(x_domain)
    if y_domain:
        y_scale.domain = list(y_domain)
    x = alt.X("x:Q", scale=x_scale, axis=alt.Axis(title=shown(x_title), grid=True))
    y = alt.Y("y:Q", scale=y_scale, axis=alt.Axis(title=shown(y_title)))
    paint = alt.Scale(domain=names, range=[s.colour for s in series])
    colour = alt.Color("series:N", scale=paint, legend=None)
    dash = alt.StrokeDash("series:N", scale=alt.Scale(domain=names, range=[list(s.dash) for s in series]), legend=None)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=[s.shape for s in series]), legend=None)
    groups = data.groupby("series", sort=True)
    layers: list[Any] = [
        alt.Chart(data).mark_line(strokeWidth=1.6).encode(
            x=x, y=y, color=colour, strokeDash=dash, order="order:Q", detail="series:N"),
        alt.Chart(groups.head(1)).mark_point(
            filled=True, fill=SURFACE.light, size=64, strokeWidth=1.8, opacity=1).encode(
            x=x, y=y, stroke=alt.Stroke("series:N", scale=paint, legend=None), shape=shape),
        alt.Chart(groups.tail(1)).mark_point(size=80, opacity=1).encode(x=x, y=y, color=colour, shape=shape),
    ]  # fmt: skip
    if targets:
        goal = pd.DataFrame([{name: getattr(t, name) for name in Target.__slots__} for t in targets])
        bar: dict[str, Any] = {"color": INK.light, "strokeWidth": 2, "clip": True}
        layers += [
            alt.Chart(goal.dropna(subset=["x_low", "x_high"])).mark_rule(**bar).encode(
                x=alt.X("x_low:Q", scale=x_scale), x2="x_high:Q", y=y),
            alt.Chart(goal.dropna(subset=["y_low", "y_high"])).mark_rule(**bar).encode(
                x=x, y=alt.Y("y_low:Q", scale=y_scale), y2="y_high:Q"),
            alt.Chart(goal).mark_point(shape="cross", size=150, color=INK.light, opacity=1, stroke=SURFACE.light,
                                       strokeWidth=1).encode(x=x, y=y),
        ]  # fmt: skip
    return finished(layers, title, height=310)
