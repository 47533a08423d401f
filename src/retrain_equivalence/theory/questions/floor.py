"""`theory floor`: the RE distance that no local method can undercut, what each reaches, and the one step that does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.floor import FloorOutcome, floor, population_floor, reached
from retrain_equivalence.theory.inputs import InputLaw, law_named
from retrain_equivalence.theory.inversion import ascended, inverting_learning_rate
from retrain_equivalence.theory.parameter_distance import parameter_floor
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.summary import Summary, band_points
from retrain_equivalence.theory.trajectory import Direction, log_re_distances
from retrain_equivalence.theory.world import WorldShape, draw_world

ORDERS = {"AB": (0, 1), "BA": (1, 0)}
"""Stage B holds the forget rows."""
METHODS: tuple[tuple[str, str], ...] = (
    ("ascent", "ascent on the forget loss"),
    ("common", "descent to a common target (0)"),
    ("oracle", "descent to the oracle's own outputs"),
)
DRAWN_STEPS = 60
MOST_DRAWN = 2.0
"""Upper end of the vertical axis: twice the distance before unlearning."""
STEP_SIZES = tuple(round(0.05 * i, 2) for i in range(1, 31))
"""Of the one ascent step, as shares of k/(2μ)."""
EXACTLY_ZERO = 1e-6
"""Where a distance of zero is drawn on a logarithmic axis, as a share of the start."""
ROUNDING = 1e-24
"""Shares below it are squares of rounding errors, printed as 0."""
REACHED = 1e-12
"""A share as near as this to its floor has reached it, up to rounding of the difference."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _History:
    """One order over worlds, against its own oracle; every distance is a share of d(θ_0, r) in the same world."""

    order: str
    start: Array
    """d(θ_0, r), not a share, shape [worlds]."""
    floors: Array
    population: Array
    """Floor over the law of the test inputs, as a share of the starting distance over the law."""
    at_oracle_targets: Array
    parameter: Array
    """‖(I − P)(θ_0 − r)‖² / ‖θ_0 − r‖²."""
    outcomes: tuple[FloorOutcome, ...]
    paths: Mapping[str, Array]
    """By method, d(θ_t, r) at t = 0 .. max_steps, shape [worlds, T]."""
    best: Mapping[str, Array]
    """By method, the least of them, shape [worlds]."""
    best_step: Mapping[str, Array]


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "isotropic",
    dim: int = 200,
    stage_rows: int = 60,
    forget_rows: int = 20,
    test_rows: int = 60,
    penalty: float = 0.1,
    learning_rate: float = 1.0,
    max_steps: int = 400,
) -> Answer:
    """Answer how near a method that sees only forget data can come to the oracle, at any t.

    Args:
        seeds: how many worlds.
        seed: of the first.
        law: of the inputs.
        dim: d.
        stage_rows: n of each of the two stages.
        forget_rows: k, the first rows of stage B.
        test_rows: m.
        penalty: μ.
        learning_rate: η of every method.
        max_steps: the last t at which methods are looked at.

    Raises:
        InputError: E-DATA-102, -103, -107 or -108 for options that make no world.
    """
    positive(seeds, "seeds")
    inputs = law_named(law)
    rule = ProximalRidge(penalty=penalty)
    shape = WorldShape(
        law=inputs,
        dim=dim,
        stage_rows=(stage_rows, stage_rows),
        forget=(0, forget_rows),
        test_rows=test_rows,
        rule=rule,
    )
    histories = [_history(name, shape, seeds, seed, learning_rate, max_steps) for name in ORDERS]
    ratios, at_once = _one_step(inputs, seeds, seed, dim, stage_rows, forget_rows, test_rows, rule)
    settings = {
        "seeds": seeds, "seed": seed, "law": inputs.name, "dim": dim, "stage_rows": stage_rows,
        "forget_rows": forget_rows, "test_rows": test_rows, "penalty": penalty, "learning_rate": learning_rate,
        "max_steps": max_steps,
    }  # fmt: skip
    three = _three_numbers(histories, seeds, max_steps)
    one = _one_step_table(at_once, seeds)
    return Answer(
        name="floor",
        title="The floor: how near a local method can come",
        question="How near to the retrained model can any method come that sees only the forget data, at any step?",
        says=tuple(_sentences(histories, at_once, settings)),
        settings=settings,
        numbers={
            "own_oracle": {h.order: _numbers(h) for h in histories},
            "one_step_after_over_before_by_later_stages": [Summary.of(column).numbers() for column in at_once.T],
        },
        tables=(three, one),
        draw=lambda: (_paths_figure(histories, three, seeds), _one_step_figure(ratios, one, seeds)),
    )


def _history(name: str, shape: WorldShape, seeds: int, seed: int, learning_rate: float, max_steps: int) -> _History:
    start, floors, population, oracle, parameter = (np.zeros(seeds) for _ in range(5))
    paths = {method: np.zeros((seeds, max_steps + 1)) for method, _ in METHODS}
    best, best_step = ({method: np.zeros(seeds) for method, _ in METHODS} for _ in range(2))
    outcomes: list[FloorOutcome] = []
    variances = shape.law.variances(shape.dim)
    for i in range(seeds):
        world = draw_world(shape, seed + i)
        span, theta, reference = world.span(), world.trained(ORDERS[name]), world.own_oracle(ORDERS[name])
        found = floor(span, theta, reference, world.test_inputs)
        away = theta - reference
        start[i] = found.at_start
        outcomes.append(found.outcome)
        floors[i] = found.value / found.at_start
        # Zeros that the outcome names stay zero in place of their rounding.
        if found.outcome not in (FloorOutcome.DIFFERENCE_ON_SPAN, FloorOutcome.ON_FORGET_INPUTS):
            oracle[i] = found.at_oracle_targets / found.at_start
        if found.outcome is not FloorOutcome.DIFFERENCE_ON_SPAN:
            population[i] = population_floor(span, theta, reference, variances) / float(away @ (variances * away))
            parameter[i] = parameter_floor(span, theta, reference) / float(away @ away)
        ways: dict[str, tuple[Array, Direction]] = {
            "ascent": (world.forget_targets, "ascent"),
            "common": (np.zeros(span.n_rows), "descent"),
            "oracle": (world.forget_inputs @ reference, "descent"),
        }
        for method, (targets, direction) in ways.items():
            logs = log_re_distances(
                span, targets, theta[None], reference[None], world.test_inputs, learning_rate=learning_rate,
                steps=range(max_steps + 1), direction=direction,
            )[0] - np.log(found.at_start)  # fmt: skip
            nearest = reached(logs, range(max_steps + 1))
            best[method][i], best_step[method][i] = nearest.value, nearest.step
            # Only drawn, and cut long before: what is larger would overflow the summary's squares.
            paths[method][i] = np.exp(np.minimum(logs, 100.0))
    return _History(
        order=name, start=start, floors=floors, population=population, at_oracle_targets=oracle, parameter=parameter,
        outcomes=tuple(outcomes), paths=paths, best=best, best_step=best_step,
    )  # fmt: skip


def _one_step(
    law: InputLaw, seeds: int, seed: int, dim: int, rows: int, forget_rows: int, test_rows: int, rule: ProximalRidge
) -> tuple[Array, Array]:
    """Return d(θ_1, r)/d(θ_0, r) by later stages and step size, shape [worlds, 3, sizes], and at k/(2μ) alone."""
    shape = WorldShape(
        law=law,
        dim=dim,
        stage_rows=(rows, rows, forget_rows),
        forget=(0, 0, forget_rows),
        test_rows=test_rows,
        rule=rule,
    )
    exact = inverting_learning_rate(forget_rows, rule.penalty)
    shares = (*STEP_SIZES, 1.0)
    found = np.zeros((seeds, 3, len(shares)))
    for i in range(seeds):
        world = draw_world(shape, seed + i)
        oracle = world.common_oracle()
        for order in world.forget_at_each_position():
            theta = world.trained(order)
            before = np.square(world.test_inputs @ (theta - oracle)).mean()
            for s, share in enumerate(shares):
                after = ascended(theta, world.forget_inputs, world.forget_targets, share * exact)
                found[i, 2 - order.index(2), s] = np.square(world.test_inputs @ (after - oracle)).mean() / before
    return found[:, :, :-1], found[:, :, -1]


def _numbers(history: _History) -> dict[str, Any]:
    return {
        "re_distance_at_start": Summary.of(history.start).numbers(),
        "floor_share": Summary.of(history.floors).numbers(),
        "population_floor_share": Summary.of(history.population).numbers(),
        "oracle_targets_share": Summary.of(history.at_oracle_targets).numbers(),
        "parameter_floor_share": Summary.of(history.parameter).numbers(),
        "outcomes": dict(Counter(str(outcome) for outcome in history.outcomes)),
        "best_share": {method: Summary.of(values).numbers() for method, values in history.best.items()},
        "best_step": {method: Summary.of(values).numbers() for method, values in history.best_step.items()},
    }


def _three_numbers(histories: Sequence[_History], seeds: int, max_steps: int) -> Table:
    def row(what: str, values: Sequence[Array], steps: Sequence[Array] = ()) -> dict[str, Any]:
        return {
            "what": what, **{h.order: _share(v) for h, v in zip(histories, values, strict=True)},
            **{f"{h.order}_step": Summary.of(v).text() for h, v in zip(histories, steps, strict=False)},
        }  # fmt: skip

    records = [
        row("floor: no local method goes below", [h.floors for h in histories]),
        row("limit of descent to the oracle's own outputs", [h.at_oracle_targets for h in histories]),
        *(
            row(f"best step of {label}", [h.best[m] for h in histories], [h.best_step[m] for h in histories])
            for m, label in METHODS
        ),
        row("floor over the law of the test inputs", [h.population for h in histories]),
        row("floor of the parameter distance", [h.parameter for h in histories]),
    ]
    return Table.of(
        f"Nearest to the history's own oracle, as a share of the distance before unlearning; median (range) over "
        f"{seeds} worlds; steps 0 to {max_steps}",
        [
            Column(head="", text=lambda r: r["what"]),
            Column(head="order AB", text=lambda r: r["AB"], numeric=True),
            Column(head="at step", text=lambda r: r.get("AB_step", ""), numeric=True),
            Column(head="order BA", text=lambda r: r["BA"], numeric=True),
            Column(head="at step", text=lambda r: r.get("BA_step", ""), numeric=True),
        ],
        records,
    )


def _one_step_table(at_once: Array, seeds: int) -> Table:
    return Table.of(
        f"One ascent step with η = k/(2μ) on a whole forget stage: distance after over before; median (range) over "
        f"{seeds} worlds",
        [
            Column(head="stages after the forget stage", text=lambda r: str(r[0])),
            Column(
                head="d(θ_1, r) / d(θ_0, r)",
                text=lambda r: r[1].text() if r[0] else f"0 (rounding: {r[1].high:.1g})",
                numeric=True,
            ),
        ],
        [(later, Summary.of(column)) for later, column in enumerate(at_once.T)],
    )


def _sentences(histories: Sequence[_History], at_once: Array, settings: Mapping[str, Any]) -> list[str]:
    def both(values: Sequence[Array], text: Callable[[Array], str] = _share) -> str:
        return " and ".join(f"{text(v)} ({h.order})" for h, v in zip(histories, values, strict=True))

    def steps(values: Array) -> str:
        return Summary.of(values).text()

    outcomes = Counter(outcome for h in histories for outcome in h.outcomes)
    n = sum(outcomes.values())
    named = "; ".join(f"{count} of {n} histories: {outcome}" for outcome, count in sorted(outcomes.items()))
    last, *earlier = [Summary.of(column) for column in at_once.T]
    lowest = min(float((h.best[m] - h.floors).min()) for h in histories for m, _ in METHODS)
    nearest = f"comes within {REACHED:g} of it" if lowest <= REACHED else f"is {lowest:.2g} above it"
    within = f"within {settings['max_steps']} steps of η = {settings['learning_rate']:g}"
    return [
        _floor_says(histories, settings),
        f"Outcomes: {named}.",
        f"Descending to the oracle's own outputs on the forget inputs, which no local method knows, ends at "
        f"{both([h.at_oracle_targets for h in histories])}, whatever step size converges.",
        f"At its best step {within} ascent stands at {both([h.best['ascent'] for h in histories])}, reached at step "
        f"{both([h.best_step['ascent'] for h in histories], steps)}; descent to a common target at "
        f"{both([h.best['common'] for h in histories])}. Of all three methods and {n} histories the nearest to its "
        f"floor over these steps {nearest}.",
        f"Over the law of the test inputs, not a sample of {settings['test_rows']} rows to which k coordinates are "
        f"fitted, the floor is {both([h.population for h in histories])}.",
        f"The floor of the parameter distance is {both([h.parameter for h in histories])} of its start; descent to the "
        "oracle's outputs attains that one in the limit.",
        f"If the forget set is the whole last stage the floor is 0, and one ascent step with η = k/(2μ) returns the "
        f"oracle (a check of the arithmetic: at most {last.high:.2g} of the RE distance is left, which is rounding). "
        f"The same step multiplies the distance by "
        f"{' and '.join(f'{s.text()} with {later}' for later, s in enumerate(earlier, start=1))} stages after it.",
    ]


def _floor_says(histories: Sequence[_History], settings: Mapping[str, Any]) -> str:
    """Say what the floor rules out, from the histories in which it is positive."""
    bounds, zeros = [], []
    for h in histories:
        positives = np.array([outcome is FloorOutcome.POSITIVE for outcome in h.outcomes])
        if positives.any():
            counted = "" if positives.all() else f", {positives.sum()} of {len(positives)} worlds; 0 in the others"
            bounds.append(f"{_share(h.floors[positives])} ({h.order}{counted})")
        else:
            zeros.append(h.order)
    conditions = (
        f"median and range over {settings['seeds']} worlds; {settings['law']} inputs, d = {settings['dim']}, "
        f"k = {settings['forget_rows']}, m = {settings['test_rows']}, n = {settings['stage_rows']} rows a stage, "
        f"μ = {settings['penalty']:g}"
    )
    if not bounds:
        return (
            f"The floor is 0 in every history, so it rules no distance to the history's own oracle out ({conditions})."
        )
    without = f" For {zeros[0]} it is 0 in every world and rules nothing out." if zeros else ""
    return (
        f"At no step, 0 included, can such a method come nearer to the history's own oracle than "
        f"{' and '.join(bounds)} of the RE distance before unlearning ({conditions}).{without}"
    )


def _share(values: Array) -> str:
    """Return median and range, 0 in place of rounding."""
    kept = np.where(values < ROUNDING, 0.0, values)
    return Summary.of(kept).text() if kept.any() else "0"


def _paths_figure(histories: Sequence[_History], table: Table, seeds: int) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import Entry, of_series
    from retrain_equivalence.figures.palette import ORACLE, series_of
    from retrain_equivalence.figures.panel import Band, line_panel

    series = series_of(METHODS)
    panels = []
    for history in histories:
        points = []
        for method, _ in METHODS:
            for step, column in enumerate(history.paths[method].T[: DRAWN_STEPS + 1]):
                s = Summary.of(column)
                # The last point of a line is never clipped: a line ends where it leaves the panel.
                y = s.median if s.median <= MOST_DRAWN else None
                low, high = min(s.low, MOST_DRAWN), min(s.high, MOST_DRAWN)
                points.append({"series": method, "x": step, "y": y, "low": low, "high": high})
        level = Summary.of(history.floors)
        chart = line_panel(
            pd.DataFrame(points), series, title=f"Order {history.order}", x_title="unlearning steps t",
            y_title="RE distance to own oracle, share of start", y_domain=(0.0, MOST_DRAWN),
            bands=[Band(value=level.median, low=level.low, high=level.high)],
        )  # fmt: skip
        label = f"Order {history.order}: floor {level.text()}; best step of " + ", ".join(
            f"{name} {_share(history.best[method])}" for method, name in METHODS
        )
        panels.append(to_svg(chart, name=f"theory-floor-{history.order.lower()}", label=label))
    floor_entry = Entry(label="floor, median and range", mark="band", colour=ORACLE.light, dash=(5, 3))
    return Figure(
        name="theory-floor",
        title="No local method goes below the floor",
        panels=tuple(panels),
        legend=of_series(series, [floor_entry]),
        caption=f"RE distance to the history's own oracle as a share of that at t = 0; medians over {seeds} worlds, "
        f"bands from smallest to largest, cut at {MOST_DRAWN:g}. Forget rows are a part of stage B.",
        table=table,
    )


def _one_step_figure(ratios: Array, table: Table, seeds: int) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import line_panel

    names = ("forget stage last", "one stage after it", "two stages after it")
    series = series_of((name, name) for name in names)
    points = []
    for later, name in enumerate(names):
        points += band_points(name, STEP_SIZES, np.maximum(ratios[:, later], EXACTLY_ZERO))
    chart = line_panel(
        pd.DataFrame(points), series, title="One ascent step on a whole forget stage",
        x_title="step size η, in units of k/(2μ)", y_title="RE distance after / before", log=True,
    )  # fmt: skip
    at_exact = ratios[:, :, STEP_SIZES.index(1.0)].T
    label = "Distance after one ascent step over before, at η = k/(2μ): " + "; ".join(
        f"{name} {float(np.median(column)):.3g}" if later else f"{name} 0"
        for later, (name, column) in enumerate(zip(names, at_exact, strict=True))
    )
    return Figure(
        name="theory-one-step",
        title="One step returns the oracle from the last position, and from no other",
        panels=(to_svg(chart, name="theory-one-step", label=label),),
        legend=of_series(series),
        caption=f"Medians over {seeds} worlds; bands: smallest to largest. Three stages, proximal ridge. At η = k/(2μ) "
        f"the last position returns the oracle exactly, which is drawn at {EXACTLY_ZERO:g}.",
        table=table,
    )
