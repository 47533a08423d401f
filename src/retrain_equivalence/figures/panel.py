"""One panel of lines with bands: the building block of every figure that has steps on its horizontal axis.

Frames are tidy, one row per point: `series` (a name), `x`, `y`, and optionally `low` and `high` (the interval). A
missing `y` breaks the line, so a censored trajectory ends where its last value is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_equivalence.figures.chart import shown
from retrain_equivalence.figures.palette import INK, ORACLE, Series
from retrain_equivalence.figures.thin import thinned
from retrain_equivalence.figures.ticks import log_ticks

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

WIDTH, HEIGHT = 360, 280
"""Pixels of a panel with its axes and title: three abreast on a desk, one on a telephone, all at one text size."""
MOST_BANDS = 8
"""With more series than this, bands would cover each other and are left to the table."""
_LABEL = (
    "datum.value != 0 && (abs(datum.value) >= 1e5 || abs(datum.value) < 1e-3) "
    "? format(datum.value, '.3~e') : format(datum.value, '.6~g')"
)
"""Vega's own format takes its digits from the distance of the ticks, and so writes 50 as 5e+1."""
MOST_SHAPES = 60
"""A panel with more points than this draws shapes only at the end of each line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A horizontal reference: where something stands, with its interval."""

    value: float
    low: float | None = None
    high: float | None = None
    colour: str = ORACLE.light


def line_panel(
    frame: pd.DataFrame,
    series: Sequence[Series],
    *,
    title: str,
    x_title: str,
    y_title: str,
    y_domain: tuple[float, float] | None = None,
    bands: Sequence[Band] = (),
    log: bool = False,
    arrows: bool = False,
    joined: bool = True,
    rings: pd.DataFrame | None = None,
    uprights: Sequence[float] = (),
) -> alt.TopLevelMixin:
    """Return lines with bands, one per series, over horizontal reference bands.

    Args:
        frame: columns `series`, `x`, `y` and optionally `low`, `high`, in plotting units.
        series: looks, in legend order; rows of other series are left out.
        title: of this panel.
        x_title: with unit.
        y_title: with unit; stands above the axis, not turned.
        y_domain: common to neighbouring panels; null fits this panel.
        bands: references drawn behind the lines.
        log: whether the vertical axis is logarithmic; rows that are not positive are left out, and the caller says so.
        arrows: whether `x` is a measured quantity too: lines then follow the frame's order, not ascending `x`.
        joined: whether points of a series are joined by a line; if not, every point is drawn, however many.
        rings: points to be marked, as columns `series`, `x`, `y`: an open ring around each, in its series' colour.
        uprights: where on the horizontal axis something stands for all series: dashed lines.

    Returns:
        An Altair chart, to be drawn by `chart.to_svg`.
    """
    import altair as alt
    import pandas as pd

    by_name = {s.name: s for s in series}
    data = frame.loc[frame["series"].isin(list(by_name))].copy()
    data["series"] = data["series"].astype(str)
    if log:
        data = data.loc[data["y"].isna() | (data["y"] > 0)]
        for bound in {"low", "high"} & set(data.columns):
            data.loc[~(data[bound] > 0), bound] = float("nan")
    if joined:
        data = pd.concat([thinned(part, WIDTH) for _, part in data.groupby("series", sort=True)] or [data])
    data["order"] = range(len(data))
    domain = list(y_domain) if y_domain else []
    names = list(by_name)
    is_outside = bool(domain) and any(
        (data[name] < domain[0]).any() or (data[name] > domain[1]).any()
        for name in {"y", "low", "high"} & set(data.columns)
    )
    scale: Any = alt.Scale(type="log" if log else "linear", zero=False, nice=not domain)
    if domain:
        scale.domain = domain
    y_format: Any = alt.Axis(title=shown(y_title), labelExpr=_LABEL, tickCount=5)
    if log:
        drawn = [*(domain or data["y"].dropna()), *(band.value for band in bands if not domain and band.value > 0)]
        y_format.values = log_ticks(min(drawn), max(drawn)) if drawn else []
    y = alt.Y("y:Q", scale=scale, axis=y_format)
    x_scale = alt.Scale(zero=False, nice=arrows, padding=0 if not arrows else 6)
    x = alt.X("x:Q", scale=x_scale, axis=alt.Axis(title=shown(x_title)))
    colour = alt.Color("series:N", scale=alt.Scale(domain=names, range=[s.colour for s in series]), legend=None)
    dash = alt.StrokeDash("series:N", scale=alt.Scale(domain=names, range=[list(s.dash) for s in series]), legend=None)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=[s.shape for s in series]), legend=None)
    layers: list[Any] = []
    if bands:
        layers += _reference(bands, scale, y_format, log=log)
    if {"low", "high"} <= set(data.columns) and not arrows and len(names) <= MOST_BANDS:
        between = data.dropna(subset=["low", "high"])
        if len(between):
            layers.append(
                alt.Chart(between)
                .mark_area(opacity=0.14, clip=is_outside)
                .encode(x=x, y=alt.Y("low:Q", scale=scale, axis=y_format), y2="high:Q", color=colour)
            )
    if uprights:
        upright = alt.Chart(pd.DataFrame({"x": list(uprights)}))
        layers.append(upright.mark_rule(color=INK.light, strokeDash=[2, 3], strokeWidth=1.5).encode(x=x))
    base = alt.Chart(data)
    order = alt.Order("order:Q")
    width = 2 if len(names) <= MOST_BANDS else 1.2
    if joined:
        layers.append(
            base.mark_line(clip=is_outside, strokeWidth=width, invalid="break-paths-show-path-domains").encode(
                x=x, y=y, color=colour, strokeDash=dash, order=order, detail="series:N"
            )
        )
    dots = data.dropna(subset=["y"])
    if joined and len(dots) > MOST_SHAPES:
        dots = dots.groupby("series", sort=True).tail(1)
    if len(dots):
        layers.append(alt.Chart(dots).mark_point(clip=False, opacity=1).encode(x=x, y=y, color=colour, shape=shape))
    if rings is not None and len(rings):
        marked = alt.Chart(rings).mark_point(shape="circle", filled=False, size=190, strokeWidth=1.8, opacity=1)
        layers.append(marked.encode(x=x, y=y, color=colour))
    return finished(layers, title)


def finished(layers: Sequence[Any], title: str, *, width: int = WIDTH, height: int = HEIGHT) -> alt.TopLevelMixin:
    """Layer some charts into one panel whose outer size is fixed, whatever its labels need: so text is equal in all."""
    import altair as alt

    fit = alt.AutoSizeParams(type="fit", contains="padding", resize=False)
    return alt.layer(*layers).properties(width=width, height=height, title=shown(title, 48), autosize=fit)


def _reference(bands: Sequence[Band], scale: Any, axis: Any, *, log: bool) -> list[Any]:
    import altair as alt
    import pandas as pd

    found: list[Any] = []
    for band in bands:
        if log and band.value <= 0:
            continue
        low = band.low if band.low is not None and (band.low > 0 or not log) else None
        one = pd.DataFrame({"y": [band.value], "low": [low], "high": [band.high]})
        if low is not None and band.high is not None:
            area = alt.Y("low:Q", scale=scale, axis=axis)
            found.append(
                alt.Chart(one).mark_rect(color=band.colour, opacity=0.22, clip=True).encode(y=area, y2="high:Q")
            )
        found.append(
            alt.Chart(one)
            .mark_rule(color=band.colour, strokeDash=[5, 3], strokeWidth=1.5, clip=True)
            .encode(y=alt.Y("y:Q", scale=scale, axis=axis))
        )
    return found


def common_domain(values: Sequence[float | None], *, log: bool = False) -> tuple[float, float] | None:
    """Return the range that holds all finite values with a little room, so that neighbouring panels compare.

    >>> common_domain([1.0, None, 3.0])
    (0.9, 3.1)
    """
    from math import isfinite, log10

    kept = [v for v in values if v is not None and isfinite(v) and (v > 0 or not log)]
    if not kept:
        return None
    low, high = min(kept), max(kept)
    if log:
        room = 0.05 * (log10(high) - log10(low) or 1.0)
        return 10 ** (log10(low) - room), 10 ** (log10(high) + room)
    room = 0.05 * (high - low or abs(high) or 1.0)
    return round(low - room, 12), round(high + room, 12)
