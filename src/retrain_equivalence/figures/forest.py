"""Forest plot: one interval per row against margin lines; the picture of an equivalence test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrain_equivalence.figures.chart import shown
from retrain_equivalence.figures.palette import (
    DIFFERENT,
    EQUIVALENT,
    ESTIMATED,
    INCONCLUSIVE,
    INK,
    MARGIN,
    ORACLE,
    SURFACE,
)
from retrain_equivalence.figures.panel import finished
from retrain_equivalence.figures.ticks import log_ticks

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

LOOKS: tuple[tuple[str, str, str], ...] = (
    ("EQUIVALENT", EQUIVALENT.light, "circle"),
    ("INCONCLUSIVE", INCONCLUSIVE.light, "diamond"),
    ("DIFFERENT", DIFFERENT.light, "square"),
    ("", ESTIMATED.light, "triangle-up"),
)
"""Verdict, colour and shape; the empty verdict is an estimate without a declared margin."""

ROW = 22
AROUND = 76
"""Pixels of title and axis above and below the rows."""


def forest_panel(
    frame: pd.DataFrame,
    *,
    title: str,
    x_title: str,
    domain: tuple[float, float] | None = None,
    nothing: float | None = None,
    margins: Sequence[float] = (),
    log: bool = False,
) -> alt.TopLevelMixin:
    """Return point estimates with intervals, one row each, in the frame's order.

    Args:
        frame: columns `label` (unique), `estimate`, `low`, `high`, `verdict` (see `LOOKS`); without bounds no bar is
            drawn.
        title: of this panel.
        x_title: with unit.
        domain: of the horizontal axis, common to neighbouring panels; intervals are cut at it.
        nothing: where "no difference at all" is: a thin line.
        margins: where the declared margin is: dashed lines.
        log: whether the horizontal axis is logarithmic.
    """
    import altair as alt
    import pandas as pd

    data = frame.copy()
    data["label"] = [shown(text, 34) for text in data["label"]]
    order = list(data["label"])
    if log:
        data.loc[~(data["low"] > 0), "low"] = float("nan")
        data = data.loc[data["estimate"] > 0]
    scale: Any = alt.Scale(type="log" if log else "linear", zero=False, nice=domain is None, clamp=domain is not None)
    if domain:
        scale.domain = list(domain)
    axis: Any = alt.Axis(title=shown(x_title), grid=True, tickCount=5, format="~g")
    if log:
        drawn = list(domain or [v for name in ("estimate", "low", "high") for v in data[name].dropna()])
        axis.values = log_ticks(min(drawn), max(drawn)) if drawn else []
    x = alt.X("estimate:Q", scale=scale, axis=axis)
    y = alt.Y(
        "label:N", sort=order, scale=alt.Scale(domain=order),
        axis=alt.Axis(title=None, domain=False, ticks=False, grid=False, labelColor=INK.light, labelFontSize=11.5),
    )  # fmt: skip
    names = [verdict for verdict, _, _ in LOOKS]
    paint = alt.Scale(domain=names, range=[c for _, c, _ in LOOKS])
    colour = alt.Color("verdict:N", scale=paint, legend=None)
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=names, range=[s for _, _, s in LOOKS]), legend=None)
    layers: list[Any] = []
    if nothing is not None:
        layers.append(
            alt.Chart(pd.DataFrame({"estimate": [nothing]})).mark_rule(color=ORACLE.light, strokeWidth=1.2).encode(x=x)
        )
    if margins:
        layers.append(
            alt.Chart(pd.DataFrame({"estimate": list(margins)}))
            .mark_rule(color=MARGIN.light, strokeWidth=1.6, strokeDash=[5, 3])
            .encode(x=x)
        )
    bars = data.dropna(subset=["low", "high"])
    if len(bars):
        layers.append(
            alt.Chart(bars).mark_rule(strokeWidth=2.2).encode(
                x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", y=y, color=colour)
        )  # fmt: skip
    layers.append(
        alt.Chart(data).mark_point(size=70, opacity=1, stroke=SURFACE.light, strokeWidth=0.8).encode(
            x=x, y=y, fill=alt.Fill("verdict:N", scale=paint, legend=None), shape=shape)
    )  # fmt: skip
    return finished(layers, title, height=AROUND + ROW * max(1, len(order)))
