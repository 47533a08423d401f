"""Figures of `theory digits`: growth by method, and ascent beside its predictions and controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.figures.legend import of_series
from retrain_equivalence.figures.palette import Series, series_of
from retrain_equivalence.figures.panel import common_domain, line_panel
from retrain_equivalence.theory.digits_study.cell import DigitsCell
from retrain_equivalence.theory.summary import half_width

CEILING = 300.0
"""The start-curvature prediction leaves every scale within a few steps; panels are cut here."""
OF_ASCENT = (
    ("histories", "two orders of stages"),
    ("seeds", "two sample orders"),
    ("twin", "twin at 1/16 of the gap"),
    ("along", "two orders, predicted by the first variation"),
    ("linear", "two orders, predicted by the start's curvature"),
)


def drawn(cells: Sequence[DigitsCell]) -> tuple[Figure, ...]:
    """Draw both figures.

    Args:
        cells: every classifier under every method.
    """
    methods = series_of([(m, m) for m in dict.fromkeys(c.method.name for c in cells)])
    by_method = [(c, c.method.name, _curve(c, "parameters", "histories")) for c in cells]
    ascent = [c for c in cells if c.method.name == "ascent"]
    looks = series_of(OF_ASCENT)
    by_pair = [(c, of, _curve(c, "test logits", of)) for c in ascent for of, _ in OF_ASCENT]
    n, steps = len(cells[0].gaps), len(cells[0].gaps[0].test_accuracy) - 1
    interval = f"geometric mean and 95 % t interval over {n} seeds"
    return (
        _figure(
            "digits-growth",
            "Growth of the path gap of digit classifiers",
            by_method,
            methods,
            f"Parameter distance of two histories (forget stage last, first) over its value before unlearning, {steps} "
            f"full-batch steps, logarithmic scale; {interval}.",
        ),
        _figure(
            "digits-ascent",
            "Ascent: measured, predicted, and beside controls",
            by_pair,
            looks,
            f"Root mean squared distance of centred test logits over its value before ascent, logarithmic scale; "
            f"{interval}. The start's curvature predicts exponential growth and is cut at {CEILING:g}.",
        ),
    )


def _curve(cell: DigitsCell, space: str, of: str) -> dict[str, Any]:
    found = cell.log_growth(space, of)
    mean, half = found.mean(axis=0), half_width(found)
    return {"x": np.arange(found.shape[1]), "y": np.exp(mean), "low": np.exp(mean - half), "high": np.exp(mean + half)}


def _figure(
    name: str,
    title: str,
    curves: Sequence[tuple[DigitsCell, str, dict[str, Any]]],
    looks: Sequence[Series],
    caption: str,
) -> Figure:
    import pandas as pd

    frames: dict[str, list[pd.DataFrame]] = {}
    for cell, series, curve in curves:
        part = pd.DataFrame({"series": series, **curve})
        frames.setdefault(cell.model.name, []).append(part.loc[part["y"] <= CEILING])
    everything = [float(y) for parts in frames.values() for part in parts for y in part["y"]]
    domain = common_domain(everything, log=True)
    panels = tuple(
        to_svg(
            line_panel(
                pd.concat(parts), looks, title=model, x_title="unlearning step", y_title="gap / gap at step 0",
                y_domain=domain, log=True,
            ),
            name=f"{name}-{place}",
            label=f"{title}: {model}. {caption}",
        )
        for place, (model, parts) in enumerate(frames.items())
    )  # fmt: skip
    labels = {s.name: s.label for s in looks}
    shown = [
        {"model": cell.model.name, "series": labels[series], "step": int(t), "curve": curve}
        for cell, series, curve in curves
        for t in sorted({0, len(curve["x"]) // 10, len(curve["x"]) // 2, len(curve["x"]) - 1})
    ]
    table = Table.of(
        f"{title}: gap over its start",
        (
            Column(head="classifier", text=lambda r: r["model"]),
            Column(head="series", text=lambda r: r["series"]),
            Column(head="step", text=lambda r: str(r["step"]), numeric=True),
            Column(head="factor", text=lambda r: f"{r['curve']['y'][r['step']]:.3g}", numeric=True),
            Column(
                head="95 % interval",
                text=lambda r: f"[{r['curve']['low'][r['step']]:.3g}, {r['curve']['high'][r['step']]:.3g}]",
                numeric=True,
            ),
        ),
        shown,
        folded=True,
    )
    return Figure(
        name=name, title=title, panels=panels, legend=of_series(looks), caption=caption, table=table, wide=False
    )
