"""The tables of `theory digits`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrain_equivalence.figures.elements import Column, Table
from retrain_equivalence.theory.digits_study.cell import NEAR, DigitsCell, times


def growth_table(cells: Sequence[DigitsCell], settings: Mapping[str, Any]) -> Table:
    return Table.of(
        f"Gap of the two orders after {settings['steps']} steps over its start: geometric mean [95 % t interval] over "
        f"{settings['seeds']} seeds; class of the parameter gap by early and late rates, margin "
        f"{settings['margin']:g} nats per step; √p: root mean squared distance (0 to 1.41), means; near: within a "
        f"factor {NEAR:g}, median (range)",
        (
            Column(head="classifier", text=lambda c: c.model.name),
            Column(head="method", text=lambda c: c.method.name),
            Column(head="linear world, on the span", text=lambda c: c.method.expected),
            Column(head="parameters", text=lambda c: times(c.factor("parameters", "histories")), numeric=True),
            Column(head="start curvature", text=lambda c: times(c.factor("parameters", "linear"), 2), numeric=True),
            Column(head="first variation", text=lambda c: times(c.factor("parameters", "along")), numeric=True),
            Column(head="test logits", text=lambda c: times(c.factor("test logits", "histories")), numeric=True),
            Column(
                head="test √p, start and end",
                text=lambda c: (
                    f"{c.root_distance('histories', 0).mean:.2f}, {c.root_distance('histories', -1).interval()}"
                ),
                numeric=True,
            ),
            Column(
                head="start curvature near up to step",
                text=lambda c: c.holds_until("parameters", "linear")[0].text(),
                numeric=True,
            ),
            Column(head="class", text=lambda c: str(c.growing("parameters", "histories").kind)),
        ),
        cells,
    )


def control_table(cells: Sequence[DigitsCell], settings: Mapping[str, Any]) -> Table:
    def rate(pair: str, window: str) -> Any:
        def text(cell: DigitsCell) -> str:
            mean, low, high = getattr(cell.growing("parameters", pair), window)
            return f"{mean:.3f} [{low:.3f}, {high:.3f}]"

        return text

    return Table.of(
        f"Controls, {settings['seeds']} seeds: rates of the log parameter gap in nats per step (simultaneous 95 % "
        "intervals of early, late and their difference), and growth of the seed pair and of the twin beside the first "
        "variation",
        (
            Column(head="classifier", text=lambda c: c.model.name),
            Column(head="method", text=lambda c: c.method.name),
            Column(head="histories, early rate", text=rate("histories", "early"), numeric=True),
            Column(head="histories, late rate", text=rate("histories", "late"), numeric=True),
            Column(head="seeds, early rate", text=rate("seeds", "early"), numeric=True),
            Column(head="seeds, grown to", text=lambda c: times(c.factor("parameters", "seeds")), numeric=True),
            Column(head="twin, grown to", text=lambda c: times(c.factor("parameters", "twin")), numeric=True),
            Column(
                head="twin, predicted", text=lambda c: times(c.factor("parameters", "twin predicted")), numeric=True
            ),
            Column(
                head="histories over seeds, start",
                text=lambda c: times(c.ratio_to_seeds("parameters", 0)),
                numeric=True,
            ),
            Column(
                head="histories over seeds, end",
                text=lambda c: times(c.ratio_to_seeds("parameters", -1)),
                numeric=True,
            ),
        ),
        cells,
    )


def accuracy_table(cells: Sequence[DigitsCell], settings: Mapping[str, Any]) -> Table:
    def moved(of: str, history: int) -> Any:
        return lambda c: f"{c.accuracy(of, 0, history).mean:.2f} to {c.accuracy(of, -1, history).interval(2)}"

    return Table.of(
        f"Accuracy before and after {settings['steps']} steps: means over {settings['seeds']} seeds, 95 % t interval "
        "of the latter",
        (
            Column(head="classifier", text=lambda c: c.model.name),
            Column(head="method", text=lambda c: c.method.name),
            Column(head="forget rows, forget stage last", text=moved("forget", 0), numeric=True),
            Column(head="forget rows, forget stage first", text=moved("forget", 1), numeric=True),
            Column(head="test, forget stage last", text=moved("test", 0), numeric=True),
            Column(head="test, forget stage first", text=moved("test", 1), numeric=True),
        ),
        cells,
    )
