"""When should one stop, and does one step serve every path?"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.scaling import Setting
from retrain_equivalence.theory.theorem import corollary_step
from retrain_equivalence.theory.trajectory import log_re_distances
from retrain_equivalence.theory.two_orders import ORDER_NAMES, TwoOrders
from retrain_equivalence.theory.world import draw_world

TOLERANCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""ε as shares of the mean squared prediction, in the table and the second figure."""

Findings = dict[str, Finding]


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "isotropic",
    learning_rate: float = 1.0,
    epsilon: float = 0.05,
    dim: int = 200,
    forget_rows: int = 20,
    penalty: float = 0.1,
) -> Answer:
    """Answer over worlds `seed` to `seed + seeds - 1`.

    Args:
        seeds: worlds.
        seed: of the first.
        law: of the inputs: isotropic, power-law or half-shared.
        learning_rate: η of the ascent.
        epsilon: ε as a share of the oracles' mean squared prediction.
        dim: d.
        forget_rows: k, the first rows of stage B.
        penalty: μ of both stages.

    Raises:
        InputError: for sizes that make no world, an unknown law, or a value that is not above 0.
    """
    positive(seeds, "seeds")
    setting = Setting(
        law=law_named(law), learning_rate=learning_rate, penalty=penalty, forget_rows=forget_rows, dim=dim
    )
    worlds = [
        TwoOrders(world=draw_world(setting.shape(), s), learning_rate=learning_rate, tolerance_share=epsilon)
        for s in range(seed, seed + seeds)
    ]
    steps = _steps(worlds, epsilon)
    by_tolerance = [(share, _steps(worlds, share)) for share in TOLERANCES]
    stops = _stops(worlds)
    return Answer(
        name="stopping",
        title="When to stop, and what one step for all paths costs",
        question="What holds before t0, and does one stopping step serve every path?",
        says=_says(worlds, steps, stops, epsilon=epsilon, learning_rate=learning_rate, penalty=penalty, law=law),
        settings={
            "seeds": seeds, "seed": seed, "law": setting.law.name, "learning_rate": learning_rate, "epsilon": epsilon,
            "dim": dim, "forget_rows": forget_rows, "penalty": penalty, "stage_rows": 60, "test_rows": 60,
            "unit": "mean squared prediction of the two oracles on the test rows",
        },
        numbers={
            "steps": {key: found.numbers() for key, found in steps.items()},
            "by_tolerance": [
                {"epsilon": share, **{key: found.numbers() for key, found in parts.items()}}
                for share, parts in by_tolerance
            ],
            "stops": {key: found.numbers() for key, found in stops.items()},
        },
        tables=_tables(by_tolerance, stops, seeds),
        draw=lambda: (_paths_figure(worlds, seeds), _tolerance_figure(by_tolerance, seeds)),
    )  # fmt: skip


def _steps(worlds: Sequence[TwoOrders], share: float) -> Findings:
    """Return when a violation is forced, by the true gap and by the theorem, at ε = share of the signal."""
    corollaries = [
        None if world.bound.is_vacuous else corollary_step(world.bound, share * world.signal) for world in worlds
    ]
    return {
        "first_common": Finding.of(
            "true gap, one common oracle (d > 4ε)", (w.first_common(share * w.signal).step for w in worlds)
        ),
        "first_own": Finding.of("true gap, own oracles", (w.first_own(share * w.signal).step for w in worlds)),
        "tolerance_term": Finding.of(
            "tolerance term of t*", (max(c.from_tolerance, 0) if c else None for c in corollaries)
        ),
        "t0": Finding.of("t0", (None if w.bound.is_vacuous else w.bound.start for w in worlds)),
        "t_star": Finding.of("t*", (c.step if c else None for c in corollaries)),
        "t0_binds": Finding.of("t0 decides t*", (float(c.is_t0_binding) if c else None for c in corollaries)),
    }


def _stops(worlds: Sequence[TwoOrders]) -> Findings:
    found: Findings = {}
    for at, name in enumerate(ORDER_NAMES):
        found[f"best_step_{at}"] = Finding.of(f"{name}: best t", (w.stopping.best[at].step for w in worlds))
    found["apart"] = Finding.of(
        "best t of A then B less that of B then A", (w.stopping.best[0].step - w.stopping.best[1].step for w in worlds)
    )
    found["universal_step"] = Finding.of("one t for both, least mean", (w.stopping.universal_step for w in worlds))
    found["worst_case_step"] = Finding.of("one t for both, least maximum", (w.stopping.worst_case_step for w in worlds))
    for at, name in enumerate(ORDER_NAMES):
        stops = [w.stopping.best[at] for w in worlds]
        signals = [w.signal for w in worlds]
        found[f"start_{at}"] = Finding.of(
            f"{name}: d before", (s.at_start / u for s, u in zip(stops, signals, strict=True))
        )
        found[f"best_{at}"] = Finding.of(
            f"{name}: d at its best t", (s.value / u for s, u in zip(stops, signals, strict=True))
        )
        found[f"universal_{at}"] = Finding.of(
            f"{name}: d at one t for both", (w.stopping.universal[at] / w.signal for w in worlds)
        )
        found[f"at_t_star_{at}"] = Finding.of(f"{name}: log10 of d at t*", (_at_corollary(w, at) for w in worlds))
        found[f"floor_{at}"] = Finding.of(f"{name}: floor", (w.floors[at].value / w.signal for w in worlds))
    found["price"] = Finding.of("price of one t for both", (w.stopping.price / w.signal for w in worlds))
    found["relative_price"] = Finding.of("price over mean best d", (w.stopping.relative_price for w in worlds))
    return found


def _at_corollary(world: TwoOrders, at: int) -> float | None:
    if world.corollary is None:
        return None
    return float(_re_logs(world, [world.corollary.step])[at, 0] - log(world.signal)) / log(10)


def _re_logs(world: TwoOrders, steps: Sequence[int]) -> Array:
    return log_re_distances(
        world.span, world.world.forget_targets, world.thetas, world.oracles, world.world.test_inputs,
        learning_rate=world.learning_rate, steps=steps,
    )  # fmt: skip


def _says(
    worlds: Sequence[TwoOrders],
    steps: Findings,
    stops: Findings,
    *,
    epsilon: float,
    learning_rate: float,
    penalty: float,
    law: str,
) -> tuple[str, ...]:
    n = len(worlds)
    corollaries = [world.corollary for world in worlds if world.corollary is not None]
    said = [
        f"The true gap forces a violation of ε-RE first at step {steps['first_common'].text()} with one common oracle "
        f"and first at step {steps['first_own'].text()} with each order's own (median and range over {n} worlds, "
        f"ε = {epsilon:g} of the mean squared prediction)."
    ]
    if corollaries:
        common = sum(world.is_before_corollary(world.first_common()) for world in worlds)
        own = sum(world.is_before_corollary(world.first_own()) for world in worlds)
        binding, among = sum(c.is_t0_binding for c in corollaries), len(corollaries)
        said += [
            f"Corollary 1 says so at t* = {steps['t_star'].text()}, with t0 = {steps['t0'].text()}: after the first of "
            f"these steps in {common} of {among} worlds, after the second in {own}.",
            f"Its tolerance term alone would allow step {steps['tolerance_term'].text()}; "
            + _binding_text(binding, among),
        ]
    floors = [found.value / world.signal for world in worlds for found in world.floors]
    positive_floors = sum(world.positive_floors for world in worlds)
    above = sum(share > epsilon for share in floors)
    said.append(
        f"At every t, 0 included, the floor holds: it is positive for {positive_floors} of {2 * n} "
        f"histories and above ε for {above}"
        + (", which no local method can then bring to ε-RE with their own oracle." if above else ".")
    )
    said.append(
        f"The best step of ascent is {stops['best_step_0'].text()} for A then B and {stops['best_step_1'].text()} for "
        f"B then A; they differ by {stops['apart'].text()}."
    )
    first, second = (
        f"from {stops[f'start_{at}'].text(2)} to {stops[f'best_{at}'].text(2)} ({name})"
        for at, name in enumerate(ORDER_NAMES)
    )
    said.append(f"There the distance to the own oracle has gone {first} and {second}, in units of the signal.")
    price, relative = stops["price"].summary, stops["relative_price"].summary
    if price and relative:
        said.append(
            f"One step for both, {stops['universal_step'].text()}, costs {price.interval(2)} of the signal on average "
            f"over the orders (mean and 95 % interval over worlds), a median of {100 * relative.median:.0f} % of the "
            f"best distance; steps are chosen and scored on the same test rows."
        )
    if corollaries:
        said.append(
            f"At t* the distance to the own oracle is 10 to the power {stops['at_t_star_0'].text(2)} "
            f"({ORDER_NAMES[0]}) and {stops['at_t_star_1'].text(2)} ({ORDER_NAMES[1]}) times the signal."
        )
    certified = sum(stop.is_certified for world in worlds for stop in world.stopping.best)
    said.append(
        f"Conditions: {law} inputs, squared loss, full-batch ascent with η = {learning_rate:g}, proximal ridge with "
        f"μ = {penalty:g}; {certified} of {2 * n} best steps are certified as best over all t."
    )
    return tuple(said)


def _binding_text(binding: int, among: int) -> str:
    if not binding:
        return f"in none of {among} worlds it lies at or below max(t0, 1): the tolerance decides t*."
    rest = "" if binding == among else f", and above it in {among - binding}, where the tolerance decides t*"
    return f"in {binding} of {among} worlds it lies at or below max(t0, 1), so that t* = max(t0, 1){rest}."


def _tables(by_tolerance: Sequence[tuple[float, Findings]], stops: Findings, seeds: int) -> tuple[Table, ...]:
    def cell(key: str) -> Column:
        return Column(head=by_tolerance[0][1][key].label, text=lambda row: row[1][key].text(), numeric=True)

    def share(row: tuple[float, Findings]) -> str:
        decided = row[1]["t0_binds"].values
        return f"{sum(v > 0 for v in decided)} of {len(decided)}"

    return (
        Table.of(
            f"First step of a forced violation against the tolerance; median (range) over {seeds} worlds",
            [
                Column(head="ε / signal", text=lambda row: f"{row[0]:g}", numeric=True),
                *(cell(key) for key in ("first_common", "first_own", "tolerance_term", "t0", "t_star")),
                Column(head="t0 decides t*", text=share, numeric=True),
            ],
            by_tolerance,
        ),
        Table.of(
            f"Stopping steps; distances to the own oracle as shares of the signal; median (range) over {seeds} worlds",
            [
                Column(head="quantity", text=lambda found: str(found.label)),
                Column(head="value", text=lambda found: str(found.text()), numeric=True),
            ],
            list(stops.values()),
        ),
    )


def _paths_figure(worlds: Sequence[TwoOrders], seeds: int) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import Entry, of_series
    from retrain_equivalence.figures.palette import ORACLE, series_of
    from retrain_equivalence.figures.panel import Band, common_domain, line_panel

    series = series_of([("ascent", "distance to the own oracle under ascent")])
    longest = max(stop.step for world in worlds for stop in world.stopping.best)
    last = max(round(1.5 * longest), 10)
    steps = range(0, last + 1, max(1, last // 60))
    shares: Array = np.exp(np.stack([_re_logs(world, steps) - log(world.signal) for world in worlds]))
    rows: list[dict[str, Any]] = [
        {
            "history": name, "series": "ascent", "x": t, "y": float(np.median(shares[:, at, i])),
            "low": float(shares[:, at, i].min()), "high": float(shares[:, at, i].max()),
        }
        for at, name in enumerate(ORDER_NAMES)
        for i, t in enumerate(steps)
    ]  # fmt: skip
    floors = np.array([[found.value / world.signal for found in world.floors] for world in worlds])
    bands = [
        Band(value=float(np.median(floors[:, at])), low=float(floors[:, at].min()), high=float(floors[:, at].max()))
        for at in range(2)
    ]
    domain = common_domain(
        [float(v) for row in rows for v in (row["low"], row["high"])] + floors.ravel().tolist(), log=True
    )
    panels = []
    for at, name in enumerate(ORDER_NAMES):
        best = Finding.of("best t", (world.stopping.best[at].step for world in worlds)).text()
        chart = line_panel(
            pd.DataFrame([row for row in rows if row["history"] == name]), series, title=f"{name}: best t {best}",
            x_title="steps of ascent t", y_title="RE distance / signal", y_domain=domain, bands=(bands[at],), log=True,
        )  # fmt: skip
        label = f"{name}: RE distance to the own oracle over {last} steps of ascent, and the floor below it."
        panels.append(to_svg(chart, name=f"stopping-path-{at}", label=label))
    return Figure(
        name="theory-stopping-paths",
        title="Distance of each path to its own oracle",
        panels=tuple(panels),
        legend=of_series(
            series,
            [Entry(label="floor of every local method, at any t", mark="band", colour=ORACLE.light, dash=(5, 3))],
        ),
        caption=(
            f"RE distance to the own-order oracle as a share of the oracles' mean squared prediction (the signal), "
            f"against steps of ascent; line: median, band: range over {seeds} worlds. Dashed: the floor, its range. "
            f"The titles give the best step of each path."
        ),
        table=Table.of(
            "The curves", [Column(head="history", text=lambda row: row["history"]), *_curve_columns("t")], rows
        ),
    )


def _tolerance_figure(by_tolerance: Sequence[tuple[float, Findings]], seeds: int) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import line_panel

    drawn = ("first_common", "first_own", "tolerance_term", "t0")
    series = series_of([(key, by_tolerance[0][1][key].label) for key in drawn])
    rows: list[dict[str, Any]] = []
    for share, parts in by_tolerance:
        for key in drawn:
            found = parts[key].summary
            if found:
                rows.append({"series": key, "x": share, **found.band()})
    chart = line_panel(
        pd.DataFrame(rows, columns=["series", "x", "y", "low", "high"]), series,
        title="Step of a forced violation", x_title="tolerance ε / signal", y_title="steps of ascent t",
    )  # fmt: skip
    label = "First step at which a violation is forced, by the true gap and by the theorem, against the tolerance."
    return Figure(
        name="theory-stopping-tolerance",
        title="When the paths are too far apart, and when the theorem says so",
        panels=(to_svg(chart, name="stopping-tolerance", label=label),),
        legend=of_series(series),
        caption=(
            f"First step at which the true gap forces a violation of ε-RE, with one common oracle or with each order's "
            f"own, against ε; beside it both terms of Corollary 1. Lines: medians, bands: ranges over {seeds} worlds."
        ),
        table=Table.of("The curves", _curve_columns("ε / signal"), rows),
    )


def _curve_columns(along: str) -> list[Column]:
    def number(key: str) -> Column:
        head = {"y": "median", "low": "least", "high": "largest"}[key]
        return Column(head=head, text=lambda row: f"{row[key]:.3g}", numeric=True)

    return [
        Column(head="curve", text=lambda row: str(row["series"])),
        Column(head=along, text=lambda row: f"{row['x']:g}", numeric=True),
        *(number(key) for key in ("y", "low", "high")),
    ]
