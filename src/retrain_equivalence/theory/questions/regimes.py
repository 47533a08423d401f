"""Expanding, frozen, contracting: what each local method does to the difference of two training orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import positive
from retrain_equivalence.theory.difference_map import (
    CommonTargetDescent,
    GradientAscent,
    LinearMethod,
    OwnTargetDescent,
)
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.floor import floor
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.measured_regime import (
    BatchDeviation,
    MeasuredRegime,
    batch_deviation,
    left_after_interpolation,
    measure,
    observed,
)
from retrain_equivalence.theory.regime_figures import drawn
from retrain_equivalence.theory.relearn_first import RelearnThenAscend, RidgeThenAscend, break_even
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.summary import Summary
from retrain_equivalence.theory.task_vector import CommonTaskVector, OwnTaskVector
from retrain_equivalence.theory.world import WorldShape, draw_world

ORDERS = ((0, 1), (1, 0))


def answer(
    *,
    seeds: int = 100,
    seed: int = 0,
    law: str = "isotropic",
    learning_rate: float = 1.0,
    dim: int = 200,
    forget_rows: int = 20,
    penalty: float = 0.1,
    steps: int = 40,
    relearn_steps: int = 20,
    strength: float = 1.0,
) -> Answer:
    """Run every method step by step on both orders of each world, and compare with its mode factors.

    Args:
        seeds: how many worlds.
        seed: of the first.
        law: of the inputs: isotropic, power-law or half-shared.
        learning_rate: η of every step.
        dim: d.
        forget_rows: k, the first rows of stage B, which has 60.
        penalty: μ of every stage, and of relearning by proximal ridge.
        steps: T of unlearning, at least 2.
        relearn_steps: steps of descent on the forget set before an ascent or a subtraction.
        strength: α of the task vectors.

    Raises:
        InputError: E-DATA-102, -103, -106 to -108 or -112 for options that make no world or no run, E-DATA-110 for
            more steps than the states of an explicit run can hold.
    """
    positive(seeds, "seeds")
    positive(steps - 1, "steps - 1")
    shape = WorldShape(law=law_named(law), dim=dim, forget=(0, forget_rows), rule=ProximalRidge(penalty=penalty))
    methods: tuple[LinearMethod, ...] = (
        GradientAscent(learning_rate=learning_rate),
        CommonTargetDescent(learning_rate=learning_rate),
        OwnTargetDescent(learning_rate=learning_rate),
        RelearnThenAscend(relearn_rate=learning_rate, relearn_steps=relearn_steps, learning_rate=learning_rate),
        RidgeThenAscend(penalty=penalty, learning_rate=learning_rate),
        OwnTaskVector(strength=strength, relearn_rate=learning_rate, relearn_steps=relearn_steps),
        CommonTaskVector(strength=strength),
    )
    found: dict[str, list[MeasuredRegime]] = {method.name: [] for method in methods}
    floors: list[tuple[float, float]] = []
    rates: list[tuple[float, float]] = []
    waits: list[float] = []
    targets: list[tuple[float, float]] = []
    interpolated: list[float] = []
    batches: list[BatchDeviation] = []
    for number in range(seed, seed + seeds):
        world = draw_world(shape, number)
        span = world.span()
        thetas = np.stack([world.trained(order) for order in ORDERS])
        oracles = np.stack([world.own_oracle(order) for order in ORDERS])
        x = span.rates(learning_rate)
        rates.append((float(x[0]), float(x[-1])))
        for method in methods:
            found[method.name].append(
                measure(method, world, span, thetas, oracles, n_steps=steps, largest_rate=rates[-1][0])
            )
        pair = [floor(span, t, r, world.test_inputs) for t, r in zip(thetas, oracles, strict=True)]
        floors.append((pair[0].value / pair[0].at_start, pair[1].value / pair[1].at_start))
        targets.append((pair[0].at_oracle_targets / pair[0].at_start, pair[1].at_oracle_targets / pair[1].at_start))
        batches.append(batch_deviation(world, thetas, learning_rate=learning_rate, n_steps=steps, seed=number))
        interpolated.append(left_after_interpolation(world, span, thetas))
        ridge = break_even(RidgeThenAscend(penalty=penalty, learning_rate=learning_rate), span)
        waits.append(max(t for t in ridge if isinstance(t, float)))
    settings = {
        "seeds": seeds, "seed": seed, "law": law, "learning_rate": learning_rate, "dim": dim,
        "forget_rows": forget_rows, "penalty": penalty, "steps": steps, "relearn_steps": relearn_steps,
        "strength": strength, "stage_rows": list(shape.stage_rows), "test_rows": shape.test_rows,
    }  # fmt: skip
    shown = _rates_table(found, {method.name: method.condition for method in methods}, settings)
    return Answer(
        name="regimes",
        title="Expanding, frozen, contracting",
        question="Which methods drive two training orders apart, which leave their difference, and which shrink it?",
        says=_says(found, floors, rates, waits, interpolated, batches, settings),
        settings=settings,
        numbers=_numbers(found, floors, targets, rates, waits, interpolated, batches),
        tables=(shown, _reach_table(found, floors, targets, settings)),
        draw=lambda: drawn(found, rates, shown, settings),
    )


def _agreeing(parts: Sequence[MeasuredRegime]) -> int:
    return sum(observed(part) is part.regime for part in parts)


def _says(
    found: Mapping[str, Sequence[MeasuredRegime]],
    floors: Sequence[tuple[float, float]],
    rates: Sequence[tuple[float, float]],
    waits: Sequence[float],
    interpolated: Sequence[float],
    batches: Sequence[BatchDeviation],
    settings: Mapping[str, Any],
) -> tuple[str, ...]:
    n, steps = len(floors), settings["steps"]
    ga, descent, own = (found[m.name] for m in (GradientAscent, CommonTargetDescent, OwnTargetDescent))
    everything = [part for parts in found.values() for part in parts]
    measured = [part for part in everything if part.is_measured]
    moving = [part for part in (*ga, *descent) if part.is_measured]
    x_1 = Summary.of([pair[0] for pair in rates])
    own_change = max(part.on_span_change for part in own)
    off = max(part.off_span_change for part in everything)
    leading = [abs(float(p.slope[1]) - float(np.log1p(x[0]))) for p, x in zip(ga, rates, strict=True)]
    ridge, task = found[RidgeThenAscend.name], found[OwnTaskVector.name]
    reach, lower = (Summary.of([value for p in parts for value in p.best]) for parts in (ga, descent))
    least = Summary.of([value for pair in floors for value in pair])
    bracketed = sum(p.is_bracketed for p in moving)
    return (
        f"On the span of the forget inputs, {steps} steps multiply the difference of the two orders by "
        f"{_gap(ga)} under ascent, {_gap(descent)} under descent to a common target and {_gap(own)} under descent to "
        f"an own target (median and range over {n} worlds; law {settings['law']}, d = {settings['dim']}, "
        f"k = {settings['forget_rows']}, η = {settings['learning_rate']:g}, so that x_1 = {x_1.text()}; "
        f"full batch, squared loss).",
        f"The regime seen in the runs is the predicted one in {sum(map(_agreeing, found.values()))} of "
        f"{len(measured)} runs ({len(found)} methods, {n} worlds), and measured sizes are the predicted ones to "
        f"{max(p.size_error for p in measured):.1g}{_unmeasured(everything)}.",
        f"The measured local slope, (log‖PΔ_(t+1)‖ − log‖PΔ_(t−1)‖) / 2, differs from the predicted "
        f"½ d/dt log Σ (1 ± x_j)^(2t) c_j² by at most {max((p.slope_error for p in moving), default=0.0):.1g} nats per "
        f"step under ascent and descent, and every one-step change lies between the slopes at its two ends in "
        f"{bracketed} of {len(moving)} runs; log(1 + x_1) alone would be off by {Summary.of(leading).text()} at the "
        f"first step of ascent.",
        f"Off the span the difference is frozen under all {len(found)} methods, to {off:.1g} of the largest parameter "
        f"norm; with an own target it is frozen on the span too, to {own_change:.1g}.",
        f"Relearning by proximal ridge (μ = {settings['penalty']:g}) first leaves {_gap(ridge, at=0)} of the "
        f"difference on the span, and residual and difference have the same factor: ascent is back on every mode "
        f"after {Summary.of(waits).text()} steps. A delay, not a remedy. Relearning to convergence leaves rounding, "
        f"{max(interpolated):.1g} of the parameter norm, and no residual to ascend on.",
        f"A task vector from the history itself (α = {settings['strength']:g}) multiplies the difference by "
        f"{_gap(task)}, once; one from a common base leaves it as it was.",
        f"Minibatches keep the map if both orders see the same ones: ascent on batches of "
        f"{max(settings['forget_rows'] // 4, 1)} rows then ends within {max(b.common for b in batches):.1g} of "
        f"Π (I + ηH_B)Δ_0, relative to its length; with batches of their own the two orders miss it by "
        f"{Summary.of([b.different for b in batches]).text()}.",
        f"Nearest to its own oracle, as a share of the RE distance before unlearning, a history comes to "
        f"{reach.text()} within {steps} steps of ascent and to {lower.text()} of descent to the common target 0; no "
        f"local method can go below the floor, {least.text()} (both orders of {n} worlds).",
    )


def _unmeasured(everything: Sequence[MeasuredRegime]) -> str:
    n = sum(not part.is_measured for part in everything)
    return f" ({n} more runs have a difference below rounding, and no rate to measure)" if n else ""


def _gap(parts: Sequence[MeasuredRegime], at: int = -1) -> str:
    return Summary.of([float(np.exp(part.predicted[at])) for part in parts]).text()


def _numbers(
    found: Mapping[str, Sequence[MeasuredRegime]],
    floors: Sequence[tuple[float, float]],
    targets: Sequence[tuple[float, float]],
    rates: Sequence[tuple[float, float]],
    waits: Sequence[float],
    interpolated: Sequence[float],
    batches: Sequence[BatchDeviation],
) -> dict[str, Any]:
    return {
        "worlds": len(floors),
        "largest_rate": Summary.of([pair[0] for pair in rates]).numbers(),
        "smallest_rate": Summary.of([pair[1] for pair in rates]).numbers(),
        "floor_share": _by_order(floors),
        "oracle_target_share": _by_order(targets),
        "ridge_break_even_steps": Summary.of(waits).numbers(),
        "batch_deviation_common": Summary.of([b.common for b in batches]).numbers(),
        "batch_deviation_different": Summary.of([b.different for b in batches]).numbers(),
        "left_on_span_after_interpolation": max(interpolated),
        "methods": {name: _method_numbers(parts) for name, parts in found.items()},
    }


def _by_order(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {order: Summary.of([pair[i] for pair in pairs]).numbers() for i, order in enumerate(("AB", "BA"))}


def _method_numbers(parts: Sequence[MeasuredRegime]) -> dict[str, Any]:
    slopes = {
        "first_slope": [float(p.measured_slope[0]) if p.is_measured else None for p in parts],
        "last_slope": [float(p.measured_slope[-1]) if p.is_measured else None for p in parts],
        "predicted_first_slope": [_finite(p.slope[1]) for p in parts],
        "predicted_last_slope": [_finite(p.slope[-2]) for p in parts],
        "predicted_log_gap_at_start": [_finite(p.predicted[0]) for p in parts],
        "predicted_log_gap_at_end": [_finite(p.predicted[-1]) for p in parts],
    }
    measured = [p for p in parts if p.is_measured]
    return {
        "predicted_regimes": sorted({part.regime.value for part in parts}),
        "runs_measured": len(measured),
        "runs_in_predicted_regime": _agreeing(parts),
        **{name: Finding.of(name, values).numbers() for name, values in slopes.items()},
        "largest_slope_error": max((p.slope_error for p in measured), default="not measured"),
        "largest_size_error": max((p.size_error for p in measured), default="not measured"),
        "runs_bracketed": sum(p.is_bracketed for p in measured),
        "largest_off_span_change": max(p.off_span_change for p in parts),
        "largest_on_span_change": max(p.on_span_change for p in parts),
        "best_share": _by_order([p.best for p in parts]),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rates_table(
    found: Mapping[str, Sequence[MeasuredRegime]], conditions: Mapping[str, str], settings: Mapping[str, Any]
) -> Table:
    def slope(parts: Sequence[MeasuredRegime], at: int, *, predicted: bool) -> str:
        of = (p.slope[1:-1] if predicted else p.measured_slope for p in parts)
        values = [_finite(one[at]) if len(one) else None for one in of]
        # Rounding of an exact zero would read as a rate.
        return Finding.of("", [0.0 if v is not None and abs(v) <= 1e-12 else v for v in values]).text()

    n = len(next(iter(found.values())))
    return Table.of(
        f"The difference of two orders on the span, {settings['steps']} steps; median (range) over {n} worlds, "
        f"nats per step; off the span it is frozen",
        [
            Column(head="method", text=lambda row: row[0]),
            Column(head="predicted", text=lambda row: ", ".join(sorted({p.regime.value for p in row[1]}))),
            Column(head="runs so", text=lambda row: f"{_agreeing(row[1])} of {len(row[1])}", numeric=True),
            Column(head="gap at the end / before", text=lambda row: _gap(row[1]), numeric=True),
            Column(head="first slope", text=lambda row: slope(row[1], 0, predicted=False), numeric=True),
            Column(head="predicted", text=lambda row: slope(row[1], 0, predicted=True), numeric=True),
            Column(head="last slope", text=lambda row: slope(row[1], -1, predicted=False), numeric=True),
            Column(head="predicted", text=lambda row: slope(row[1], -1, predicted=True), numeric=True),
            Column(
                head="off-span change", text=lambda row: f"{max(p.off_span_change for p in row[1]):.1g}", numeric=True
            ),
            Column(head="condition", text=lambda row: conditions[row[0]]),
        ],
        list(found.items()),
    )


def _reach_table(
    found: Mapping[str, Sequence[MeasuredRegime]],
    floors: Sequence[tuple[float, float]],
    targets: Sequence[tuple[float, float]],
    settings: Mapping[str, Any],
) -> Table:
    rows = [(name, [p.best for p in parts]) for name, parts in found.items()]
    rows.append(("descent to the oracle's own outputs, which a local method does not know", list(targets)))
    rows.append(("floor of every local method", list(floors)))
    columns = [Column(head="method", text=lambda row: row[0])]
    for i, order in enumerate(("AB", "BA")):
        finding = lambda row, i=i: Finding.of("", [pair[i] for pair in row[1]]).text()  # noqa: E731
        columns.append(Column(head=order, text=finding, numeric=True))
    return Table.of(
        f"Least RE distance to the own oracle within {settings['steps']} steps, as a share of the distance before "
        f"unlearning; median (range) over {len(floors)} worlds",
        columns,
        rows,
    )
