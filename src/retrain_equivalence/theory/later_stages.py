"""A panel with the number of stages trained after the forget stage on its horizontal axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.summary import band_points

if TYPE_CHECKING:
    from retrain_equivalence.figures.palette import Series


def later_stages_panel(
    lines: Mapping[str, Array], series: Sequence[Series], *, title: str, y_title: str, name: str
) -> str:
    """Return a drawn panel: medians and ranges over worlds against 0, 1, 2, ... later stages.

    Args:
        lines: per series name its values, shape [worlds, stages].
        series: looks; those without values here are left out.
        title: of the panel.
        y_title: with unit.
        name: unique within the page.
    """
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.panel import line_panel

    points = [point for line, values in lines.items() for point in band_points(line, range(values.shape[1]), values)]
    chart = line_panel(
        pd.DataFrame(points), [one for one in series if one.name in lines], title=title,
        x_title="stages trained after the forget stage", y_title=y_title,
    )  # fmt: skip
    label = f"{title}: " + "; ".join(f"{p['series']}, {p['x']} later stages: {p['y']:.2g}" for p in points)
    return to_svg(chart, name=name, label=label)
