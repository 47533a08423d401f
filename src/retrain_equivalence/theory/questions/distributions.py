"""`theory distributions`: retrain equivalence between laws of models, outputs with noise, and expected losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain_equivalence.core.errors import InputError
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
from retrain_equivalence.theory.gaussian_outputs import (
    composed_bound,
    midpoint_delta,
    mixture_delta,
    output_gap,
    summed_bound,
    total_variation,
)
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.summary import Summary, band_points
from retrain_equivalence.theory.world import LinearWorld, WorldShape, draw_world

STEPS = (0, 5, 10, 20)
"""t of the table and the figure."""

NEAREST_RATE = 1e-7
"""Modes with |1 − x_j| below this are dropped by descent: after 20 steps their variances leave double precision."""

SATURATED = 1 - 5e-4
"""Total variations above this are printed as 1."""


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
    composed: Array
    """No law is (ε, δ)-close to both below this δ; by composing."""
    summed: Array
    """Likewise, by summing."""
    midpoint: Array
    """The Gaussian midway is, at this δ."""
    mixture: Array
    """The mixture of the two laws is, at this δ."""
    drift: Array
    """Largest relative change of the standardised path effect over modes."""

    @property
    def lower(self) -> Array:
        """The larger bound from below on the δ of a common law."""
        found: Array = np.maximum(self.composed, self.summed)
        return found

    @property
    def upper(self) -> Array:
        """The smaller δ of the two common laws."""
        found: Array = np.minimum(self.midpoint, self.mixture)
        return found

    @property
    def between(self) -> Array:
        """What is open: upper less lower. Where they meet, rounding may leave −1e-16."""
        found: Array = np.maximum(self.upper - self.lower, 0.0)
        return found


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
        InputError: E-DATA-102, -103, -108, -117 or -118 for options that make no world or no law, or a descent that
            drops a mode because some x_j = 1.
    """
    positive(seeds, "seeds")
    positive(learning_rate, "learning_rate")
    shape = WorldShape(
        law=law_named(law), dim=dim, stage_rows=(stage_rows, stage_rows), forget=(0, forget_rows), test_rows=test_rows,
        rule=ProximalRidge(penalty=penalty),
    )  # fmt: skip
    worlds = [draw_world(shape, seed + i) for i in range(seeds)]
    rates = np.array([world.span().rates(learning_rate) for world in worlds])
    nearest = np.abs(1 - rates).min(axis=1)
    _injective(nearest, seed)
    ways = [
        _measure("ascent", worlds, learning_rate, initial_deviation, output_noise, epsilon),
        _measure("descent to a common target", worlds, -learning_rate, initial_deviation, output_noise, epsilon),
    ]
    variances = shape.law.variances(dim)
    mirrored = np.array([_mirror(world, variances, learning_rate) for world in worlds])
    largest_rate = Summary.of(rates[:, 0])
    records: list[dict[str, Any]] = [
        {
            "way": way.name, "step": step, "gap": Summary.of(way.gap[:, t]), "kl": Summary.of(way.information[:, t]),
            "hellinger": Summary.of(way.hellinger[:, t]), "tv": Summary.of(way.told_apart[:, t]),
            "lower": Summary.of(way.lower[:, t]), "upper": Summary.of(way.upper[:, t]),
            "between": Summary.of(way.between[:, t]),
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
        Column(head=f"δ of any common law at least, ε = {epsilon:g}", text=lambda r: r["lower"].text(), numeric=True),
        Column(head="δ of midway or mixture", text=lambda r: r["upper"].text(), numeric=True),
        Column(head="between them", text=lambda r: r["between"].text(), numeric=True),
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
                "least_common_delta": [Summary.of(column).numbers() for column in way.lower.T],
                "common_delta": [Summary.of(column).numbers() for column in way.upper.T],
                "common_delta_gap": [Summary.of(column).numbers() for column in way.between.T],
                "midpoint_delta": [Summary.of(column).numbers() for column in way.midpoint.T],
                "mixture_delta": [Summary.of(column).numbers() for column in way.mixture.T],
                "worlds_where_summing_is_the_better_bound": (way.summed > way.composed).sum(axis=0).tolist(),
                "worlds_where_the_mixture_is_the_better_law": (way.mixture < way.midpoint).sum(axis=0).tolist(),
                "largest_relative_change_of_kl": _change(way.information),
                "largest_relative_change_of_standardised_effect": float(way.drift.max()),
            }
            for way in ways
        },
        "largest_rate": largest_rate.numbers(),
        "nearest_rate_to_1": Summary.of(nearest).numbers(),
        "mirror_pair": {
            "expected_loss_gap_relative_largest": float(mirrored[:, :, 1].max()),
            "re_distance": [Summary.of(column).numbers() for column in mirrored[:, :, 0].T],
        },
    }
    return Answer(
        name="distributions",
        title="Laws of models, noisy outputs and expected loss",
        question="Do distributional definitions of retrain equivalence see that the paths diverge?",
        says=tuple(_sentences(ways, mirrored, largest_rate, Summary.of(nearest), seeds, settings)),
        settings=settings,
        numbers=numbers,
        tables=(table,),
        draw=lambda: (_figure(ways, table, seeds, output_noise),),
    )


def _measure(
    name: str, worlds: Sequence[LinearWorld], rate: float, deviation: float, noise: float, epsilon: float
) -> _Laws:
    cells = np.zeros((9, len(worlds), len(STEPS)))
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
                composed_bound(gap, noise, epsilon), summed_bound(gap, noise, epsilon),
                midpoint_delta(gap, noise, epsilon), mixture_delta(gap, noise, epsilon),
                np.abs(standardised_modes(a, b, span.n_rows) / effect - 1).max(),
            )  # fmt: skip
    gap_, kl, hellinger, told, composed, summed, midpoint, mixture, drift = cells
    return _Laws(
        name=name,
        gap=gap_,
        information=kl,
        hellinger=hellinger,
        told_apart=told,
        composed=composed,
        summed=summed,
        midpoint=midpoint,
        mixture=mixture,
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


def _injective(nearest: Array, seed: int) -> None:
    if nearest.min() < NEAREST_RATE:
        raise InputError.of(
            "E-DATA-118", f"world of seed {seed + int(nearest.argmin())}",
            f"some x_j = η h_j is 1 within {NEAREST_RATE:g}: descent drops that mode and is not injective",
            "choose another learning rate",
        )  # fmt: skip


def _seen(ways: Sequence[_Laws], seeds: int, noise: float) -> str:
    """Return what an observer of noisy outputs sees, with the worlds in which nothing is left to see."""
    up, down = ways
    start, end, lower = (Summary.of(v) for v in (up.told_apart[:, 0], up.told_apart[:, -1], down.told_apart[:, -1]))
    full = int((up.told_apart[:, 0] > SATURATED).sum())
    head = f"With Gaussian noise of {noise:g} on every output after unlearning, the total variation"
    near = f"within {1 - SATURATED:.1g} of 1"
    if full == seeds:
        kept, still = (int((way.told_apart[:, -1] > SATURATED).sum()) for way in ways)
        return (
            f"{head} is saturated: {near} in all {seeds} worlds before the first step, so expansion can add no more "
            f"than that; it is so in {kept} of them after {STEPS[-1]} steps of ascent and in {still} after as many of "
            f"descent."
        )
    rises, falls = int((up.gap[:, -1] > up.gap[:, 0]).sum()), int((down.gap[:, -1] < down.gap[:, 0]).sum())
    text = (
        f"{head} follows the metric gap: it goes from {start.text()} to {end.text()} under ascent (the gap rises in "
        f"{rises} of {seeds} worlds) and to {lower.text()} under descent (the gap falls in {falls})."
    )
    if full:
        text += f" In {full} of {seeds} it is {near} at t = 0 already: saturated, expansion can add no more than that."
    return text


def _common(up: _Laws, seeds: int, epsilon: float) -> str:
    """Return between which values the least δ of a common law lies, and which bound and which law are the better."""
    lower, upper, between = (
        [Summary.of(values[:, t]).text() for t in (0, -1)] for values in (up.lower, up.upper, up.between)
    )
    summed, mixed = (
        [int(better[:, t].sum()) for t in (0, -1)] for better in (up.summed > up.composed, up.mixture < up.midpoint)
    )
    return (
        f"For ε = {epsilon:g}, no law at all is (ε, δ)-close to both histories' noisy outputs unless δ is at least "
        f"{lower[0]} before and {lower[1]} after {STEPS[-1]} ascent steps; the better of two laws, the Gaussian midway "
        f"and the mixture of both, needs {upper[0]} and {upper[1]}: {between[0]} and {between[1]} more. Of the bounds, "
        f"summing over the best test is the larger in {summed[0]} of {seeds} worlds before and {summed[1]} after, else "
        f"composing is at least as large; of the laws, the mixture is the better in {mixed[0]} and {mixed[1]}, else "
        f"the midway is at least as good."
    )


def _sentences(
    ways: Sequence[_Laws],
    mirrored: Array,
    largest_rate: Summary,
    nearest: Summary,
    seeds: int,
    settings: dict[str, Any],
) -> list[str]:
    up, down = ways
    last = STEPS[-1]
    growth, fall = Summary.of(up.gap[:, -1] / up.gap[:, 0]), Summary.of(down.gap[:, -1] / down.gap[:, 0])
    mirror = Summary.of(mirrored[:, -1, 0] / mirrored[:, 0, 0])
    return [
        f"Not those by f-divergences over training seeds: while {last} ascent steps multiply the RE distance of the "
        f"two mean models by {growth.text()}, the KL divergence between their laws stays at "
        f"{Summary.of(up.information[:, 0]).text()} nats, as it must under an injective map; a check of the arithmetic "
        f"finds it again within {_change(up.information):.1g} of itself (median and range over {seeds} worlds; "
        f"{settings['law']} inputs, d = {settings['dim']}, k = {settings['forget_rows']}, m = {settings['test_rows']}, "
        f"η = {settings['learning_rate']:g}, μ = {settings['penalty']:g}, initial parameters drawn with "
        f"τ = {settings['initial_deviation']:g}).",
        f"Descent to a common target multiplies the distance by {fall.text()}; its largest rate x_1 is "
        f"{largest_rate.text()}, and no rate x_j is 1 (the nearest is off by {nearest.text()}), so descent is "
        f"injective too and leaves the KL as it is; the check finds that within {_change(down.information):.1g}.",
        f"Gap squared over seed variance is the same at every t in each mode, by algebra (checked within "
        f"{max(w.drift.max() for w in ways):.1g} of itself): an effect size over seeds cannot show the expansion.",
        _seen(ways, seeds, settings["output_noise"]),
        _common(up, seeds, settings["epsilon"]),
        f"Expected loss does not inherit the bound: a pair that mirrors each other through a model that fits the "
        f"forget rows has equal expected loss at every t, by symmetry (checked within {mirrored[:, :, 1].max():.1g} "
        f"of it), while its RE distance is multiplied by {mirror.text()} in {last} ascent steps.",
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
            points += band_points(way.name, STEPS, shares)
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
