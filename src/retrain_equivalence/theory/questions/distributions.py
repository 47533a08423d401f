"""`theory distributions`: retrain equivalence between laws of models, outputs with noise, and expected losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.data_processing import (
    history_law,
    in_modes,
    kullback_leibler,
    rotation,
    squared_hellinger,
    standardised_modes,
    unlearned,
)
from retrain_equivalence.theory.expected_loss import antipode, excess_loss
from retrain_equivalence.theory.gaussian_outputs import least_common_delta, midpoint_delta, output_gap, total_variation
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.summary import Summary
from retrain_equivalence.theory.world import LinearWorld, WorldShape, draw_world

STEPS = (0, 5, 10, 20)
"""t of the table and the figure."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Laws:
    """One way of unlearning over worlds; arrays have shape [worlds, steps]."""

    name: str
    gap: Array
    """RE distance of the two mean models."""
    information: Array
    """KL in nats."""
    hellinger: Array
    """1 − ∫√(pq)."""
    told_apart: Array
    """Total variation of the two output vectors with noise added after unlearning."""
    common_delta: Array
    """No law is (ε, δ)-close to both below this δ."""
    midpoint: Array
    """The law midway is, at this δ."""
    drift: Array
    """Largest relative change of the standardised path effect over modes."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "isotropic",
    dim: int = 100,
    stage_rows: int = 30,
    forget_rows: int = 10,
    test_rows: int = 60,
    penalty: float = 1.0,
    learning_rate: float = 1.0,
    initial_deviation: float = 1.0,
    output_noise: float = 1.0,
    epsilon: float = 1.0,
) -> Answer:
    """Answer whether path dependence is seen by distributional definitions of retrain equivalence.

    Args:
        seeds: how many worlds.
        seed: of the first.
        law: of the inputs.
        dim: d.
        stage_rows: n of each of the two stages.
        forget_rows: k, the first rows of the second stage.
        test_rows: m.
        penalty: μ.
        learning_rate: η of ascent and of descent.
        initial_deviation: τ, standard deviation of each initial parameter over training seeds.
        output_noise: σ added to every test output after unlearning.
        epsilon: ε of the common certificate.

    Raises:
        InputError: E-DATA-102, -103, -108, -117 or -118 for options that make no world or no law.
    """
    positive(seeds, "seeds")
    positive(learning_rate, "learning_rate")
    shape = WorldShape(
        law=law_named(law), dim=dim, stage_rows=(stage_rows, stage_rows), forget=(0, forget_rows), test_rows=test_rows,
        rule=ProximalRidge(penalty=penalty),
    )  # fmt: skip
    worlds = [draw_world(shape, seed + i) for i in range(seeds)]
    ways = [
        _measure("ascent", worlds, learning_rate, initial_deviation, output_noise, epsilon),
        _measure("descent to a common target", worlds, -learning_rate, initial_deviation, output_noise, epsilon),
    ]
    variances = shape.law.variances(dim)
    mirrored = np.array([_mirror(world, variances, learning_rate) for world in worlds])
    largest_rate = Summary.of([float(world.span().rates(learning_rate)[0]) for world in worlds])
    records: list[dict[str, Any]] = [
        {
            "way": way.name, "step": step, "gap": Summary.of(way.gap[:, t]), "kl": Summary.of(way.information[:, t]),
            "hellinger": Summary.of(way.hellinger[:, t]), "tv": Summary.of(way.told_apart[:, t]),
            "delta": Summary.of(way.common_delta[:, t]), "midpoint": Summary.of(way.midpoint[:, t]),
        }
        for way in ways for t, step in enumerate(STEPS)
    ]  # fmt: skip
    columns = [
        Column(head="unlearning", text=lambda r: r["way"]),
        Column(head="t", text=lambda r: str(r["step"]), numeric=True),
        Column(head="RE distance of means", text=lambda r: r["gap"].text(), numeric=True),
        Column(head="KL over seeds (nats)", text=lambda r: r["kl"].text(), numeric=True),
        Column(head="Hellinger² over seeds", text=lambda r: r["hellinger"].text(), numeric=True),
        Column(head=f"TV of outputs, noise {output_noise:g}", text=lambda r: r["tv"].text(), numeric=True),
        Column(head=f"δ of any common law at least, ε = {epsilon:g}", text=lambda r: r["delta"].text(), numeric=True),
        Column(head="δ of the midpoint law", text=lambda r: r["midpoint"].text(), numeric=True),
    ]
    table = Table.of(
        f"Two orders of the same stages as laws over seeds, and as noisy outputs; median (range) over {seeds} worlds",
        columns,
        records,
    )
    settings = {
        "seeds": seeds, "seed": seed, "law": shape.law.name, "dim": dim, "stage_rows": stage_rows,
        "forget_rows": forget_rows, "test_rows": test_rows, "penalty": penalty, "learning_rate": learning_rate,
        "initial_deviation": initial_deviation, "output_noise": output_noise, "epsilon": epsilon, "steps": list(STEPS),
    }  # fmt: skip
    numbers = {
        **{
            way.name: {
                "steps": list(STEPS),
                "re_distance": [Summary.of(column).numbers() for column in way.gap.T],
                "kl_nats": [Summary.of(column).numbers() for column in way.information.T],
                "squared_hellinger": [Summary.of(column).numbers() for column in way.hellinger.T],
                "output_total_variation": [Summary.of(column).numbers() for column in way.told_apart.T],
                "least_common_delta": [Summary.of(column).numbers() for column in way.common_delta.T],
                "midpoint_delta": [Summary.of(column).numbers() for column in way.midpoint.T],
                "largest_relative_change_of_kl": _change(way.information),
                "largest_relative_change_of_standardised_effect": float(way.drift.max()),
            }
            for way in ways
        },
        "largest_rate": largest_rate.numbers(),
        "mirror_pair": {
            "expected_loss_gap_relative_largest": float(mirrored[:, :, 1].max()),
            "re_distance": [Summary.of(column).numbers() for column in mirrored[:, :, 0].T],
        },
    }
    return Answer(
        name="distributions",
        title="Laws of models, noisy outputs and expected loss",
        question="Do distributional definitions of retrain equivalence see that the paths diverge?",
        says=tuple(_sentences(ways, mirrored, largest_rate, seeds, settings)),
        settings=settings,
        numbers=numbers,
        tables=(table,),
        draw=lambda: (_figure(ways, table, seeds, output_noise),),
    )


def _measure(
    name: str, worlds: Sequence[LinearWorld], rate: float, deviation: float, noise: float, epsilon: float
) -> _Laws:
    cells = np.zeros((7, len(worlds), len(STEPS)))
    for i, world in enumerate(worlds):
        span, m = world.span(), len(world.test_inputs)
        targets = world.forget_targets if rate > 0 else np.zeros(span.n_rows)
        first, second = (in_modes(history_law(world, order, deviation), span, targets) for order in ((0, 1), (1, 0)))
        effect, rows = standardised_modes(first, second, span.n_rows), world.test_inputs @ rotation(span).T
        for t, step in enumerate(STEPS):
            a, b = (unlearned(start, span, learning_rate=rate, step=step) for start in (first, second))
            distance = float(np.square(rows @ (a.mean - b.mean)).mean())
            gap = output_gap(distance, m)
            cells[:, i, t] = (
                distance, kullback_leibler(a, b), squared_hellinger(a, b), total_variation(gap, noise),
                least_common_delta(gap, noise, epsilon), midpoint_delta(gap, noise, epsilon),
                np.abs(standardised_modes(a, b, span.n_rows) / effect - 1).max(),
            )  # fmt: skip
    gap_, kl, hellinger, told, delta, midpoint, drift = cells
    return _Laws(
        name=name,
        gap=gap_,
        information=kl,
        hellinger=hellinger,
        told_apart=told,
        common_delta=delta,
        midpoint=midpoint,
        drift=drift,
    )


def _mirror(world: LinearWorld, variances: Array, rate: float) -> Array:
    """Return RE distance over the law, and the loss gap relative to the excess, of a mirror pair; shape [steps, 2]."""
    span, oracle = world.span(), world.common_oracle()
    solution = world.forget_targets - oracle @ world.forget_inputs.T
    teacher = oracle + (solution @ span.left / span.singular_values) @ span.basis
    start = world.trained((0, 1))
    found = []
    for step in STEPS:
        growth = (1 + span.rates(rate)) ** step - 1
        pair = []
        for theta in (start, antipode(start, teacher)):
            pair.append(theta + (span.coordinates(theta - teacher) * growth) @ span.basis)
        losses = [excess_loss(theta, teacher, variances) for theta in pair]
        found.append([excess_loss(pair[0], pair[1], variances), abs(losses[0] - losses[1]) / losses[0]])
    return np.array(found)


def _change(values: Array) -> float:
    return float(np.abs(values / values[:, :1] - 1).max())


def _sentences(
    ways: Sequence[_Laws], mirrored: Array, largest_rate: Summary, seeds: int, settings: dict[str, Any]
) -> list[str]:
    up, down = ways
    last = STEPS[-1]
    growth, fall = Summary.of(up.gap[:, -1] / up.gap[:, 0]), Summary.of(down.gap[:, -1] / down.gap[:, 0])
    condition = (
        "below 1 in every world, so descent is injective too" if largest_rate.high < 1
        else "not below 1 in every world, so descent need not be monotone"
    )  # fmt: skip
    mirror = Summary.of(mirrored[:, -1, 0] / mirrored[:, 0, 0])
    tell = [Summary.of(values) for values in (up.told_apart[:, 0], up.told_apart[:, -1], down.told_apart[:, -1])]
    common = [Summary.of(up.common_delta[:, t]) for t in (0, -1)]
    midway = [Summary.of(up.midpoint[:, t]) for t in (0, -1)]
    return [
        f"Not those by f-divergences over training seeds: while {last} ascent steps multiply the RE distance of the "
        f"two mean models by {growth.text()}, the KL divergence between their laws stays at "
        f"{Summary.of(up.information[:, 0]).text()} nats and changes by at most {_change(up.information):.1g} of "
        f"itself (median and range over {seeds} worlds; {settings['law']} inputs, d = {settings['dim']}, "
        f"k = {settings['forget_rows']}, m = {settings['test_rows']}, η = {settings['learning_rate']:g}, "
        f"μ = {settings['penalty']:g}, initial parameters drawn with τ = {settings['initial_deviation']:g}).",
        f"Descent to a common target multiplies the distance by {fall.text()} and changes the KL by at most "
        f"{_change(down.information):.1g} of itself; its largest rate x_1 is {largest_rate.text()}, {condition}.",
        f"Gap squared over seed variance is the same at every t in each mode, within "
        f"{max(w.drift.max() for w in ways):.1g} of itself: an effect size over seeds cannot show the expansion.",
        f"With Gaussian noise of {settings['output_noise']:g} on every output after unlearning, metric gaps do matter: "
        f"the total variation goes from {tell[0].text()} to {tell[1].text()} under ascent and to {tell[2].text()} "
        f"under descent.",
        f"For ε = {settings['epsilon']:g}, no law at all is (ε, δ)-close to both histories' noisy outputs unless δ is "
        f"at least {common[0].text()} before and {common[1].text()} after {last} ascent steps; the Gaussian midway, "
        f"nearly the best law, needs {midway[0].text()} and {midway[1].text()}.",
        f"Expected loss does not inherit the bound: a pair that mirrors each other through a model that fits the "
        f"forget rows has equal expected loss at every t (within {mirrored[:, :, 1].max():.1g} of it), while its RE "
        f"distance is multiplied by {mirror.text()} in {last} ascent steps.",
    ]


def _figure(ways: Sequence[_Laws], table: Table, seeds: int, noise: float) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import line_panel

    series = series_of((way.name, way.name) for way in ways)
    panels = []
    for key, title, y_title, log in (
        ("gap", "Metric: RE distance", "RE distance, share of that at t = 0", True),
        ("information", "Information: KL over seeds", "KL, share of that at t = 0", False),
        ("told_apart", f"Outputs with noise {noise:g}", "total variation", False),
    ):
        points = []
        for way in ways:
            values: Array = getattr(way, key)
            shares = values if key == "told_apart" else values / values[:, :1]
            for step, column in zip(STEPS, shares.T, strict=True):
                s = Summary.of(column)
                points.append({"series": way.name, "x": step, "y": s.median, "low": s.low, "high": s.high})
        chart = line_panel(
            pd.DataFrame(points), series, title=title, x_title="unlearning steps t", y_title=y_title, log=log,
            y_domain=None if log else (0.0, 1.2),
        )  # fmt: skip
        label = f"{title}: " + "; ".join(f"{p['series']}, t = {p['x']}: {p['y']:.3g}" for p in points)
        panels.append(to_svg(chart, name=f"theory-distributions-{key.replace('_', '-')}", label=label))
    return Figure(
        name="theory-distributions",
        title="Expansion is metric: what laws over seeds and noisy outputs see of it",
        panels=tuple(panels),
        legend=of_series(series),
        caption=f"Two orders of the same two stages. Lines: medians over {seeds} worlds; bands: smallest to largest. "
        "Left: RE distance of the two mean models. Middle: KL divergence between the laws of the two histories over "
        "random initial parameters. Right: total variation of the test outputs with Gaussian noise added after "
        "unlearning.",
        table=table,
    )
