"""Figures of `theory regimes`: size of the difference of two orders, and its local slope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Figure, Table
from retrain_equivalence.figures.legend import of_series
from retrain_equivalence.figures.palette import series_of
from retrain_equivalence.figures.panel import line_panel
from retrain_equivalence.theory.difference_map import CommonTargetDescent, GradientAscent
from retrain_equivalence.theory.measured_regime import MeasuredRegime
from retrain_equivalence.theory.relearn_first import RidgeThenAscend
from retrain_equivalence.theory.summary import Summary


def drawn(
    found: Mapping[str, Sequence[MeasuredRegime]],
    rates: Sequence[tuple[float, float]],
    table: Table,
    settings: Mapping[str, Any],
) -> tuple[Figure, ...]:
    """Draw both figures.

    Args:
        found: the runs of each method, one per world.
        rates: x_1 and x_k of each world.
        table: the numbers behind both.
        settings: of the answer.
    """
    return _sizes(found, table, settings), _slopes(found, rates, table, settings)


def _sizes(found: Mapping[str, Sequence[MeasuredRegime]], table: Table, settings: Mapping[str, Any]) -> Figure:
    import pandas as pd

    looks = series_of([(name, name) for name in found])
    rows: list[dict[str, Any]] = []
    for name, parts in found.items():
        for t in range(settings["steps"] + 1):
            rows += _point(name, t, [float(p.log_gap[t]) / np.log(10) for p in parts if t < p.n_seen])
    chart = line_panel(
        pd.DataFrame(rows), looks, title="Size on the span", x_title="steps after what is done once",
        y_title="log10 of ‖PΔ_t‖ / ‖PΔ_0‖",
    )  # fmt: skip
    return Figure(
        name="theory-regimes",
        title="Expanding, frozen, contracting",
        panels=(to_svg(chart, name="theory-regimes", label="Size of the difference of two orders, by method."),),
        legend=of_series(looks),
        caption=(
            f"Difference of the orders AB and BA on the span of the forget inputs against before anything was done, "
            f"each method run step by step{_over(found, settings)} Steps count after relearning or subtracting. The "
            f"two frozen lines coincide."
        ),
        table=table,
    )


def _slopes(
    found: Mapping[str, Sequence[MeasuredRegime]],
    rates: Sequence[tuple[float, float]],
    table: Table,
    settings: Mapping[str, Any],
) -> Figure:
    import pandas as pd

    looks = series_of(
        [("predicted", "predicted, mode mixture"), ("measured", "measured"), ("one", "the winning mode alone")]
    )
    ascent = [float(np.log1p(x)) for x, _ in rates]
    descent = [float(np.log(max(abs(1 - x), abs(1 - y), 1e-300))) for x, y in rates]
    alone = {GradientAscent.name: ascent, RidgeThenAscend.name: ascent, CommonTargetDescent.name: descent}
    panels: list[str] = []
    for name, one in alone.items():
        parts = found[name]
        rows: list[dict[str, Any]] = []
        for t in range(1, settings["steps"]):
            rows += _point("predicted", t, [float(p.slope[t]) for p in parts if np.isfinite(p.slope[t])])
            rows += _point("measured", t, [float(p.measured_slope[t - 1]) for p in parts if t < p.n_seen - 1])
            rows += _point("one", t, one)
        chart = line_panel(pd.DataFrame(rows), looks, title=name, x_title="step t", y_title="nats per step")
        label = f"Predicted and measured local slope of {name} against steps; they lie on each other."
        panels.append(to_svg(chart, name=f"theory-slopes-{len(panels)}", label=label))
    return Figure(
        name="theory-slopes",
        title="Local slope: predicted and measured",
        panels=tuple(panels),
        legend=of_series(looks),
        caption=(
            f"Rate of the difference on the span{_over(found, settings)} Measured is the central difference over two "
            f"steps, drawn on the predicted one. The mode alone is the one that wins in the end: the largest factor in "
            f"size."
        ),
        table=table,
    )


def _over(found: Mapping[str, Sequence[MeasuredRegime]], settings: Mapping[str, Any]) -> str:
    n = len(next(iter(found.values())))
    return (
        f" in {n} worlds (law {settings['law']}, d = {settings['dim']}, k = {settings['forget_rows']}, "
        f"η = {settings['learning_rate']:g}). Lines are medians, bands the range over worlds."
    )


def _point(name: str, x: int, values: Sequence[float]) -> list[dict[str, Any]]:
    if not values:
        return []
    return [{"series": name, "x": x, **Summary.of(values).band()}]
