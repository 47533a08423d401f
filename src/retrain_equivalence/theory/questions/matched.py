"""Two orders of training at equal steps of gradient ascent, and at equal forgetting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.matched_forgetting import (
    MatchedLimit,
    absolute_gap_exponent,
    equal_steps_gap,
    equal_steps_limit,
    matched_gap,
    matched_limit,
    residuals,
    steps_to_loss,
)
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.summary import Summary, band_points
from retrain_equivalence.theory.trajectory import log_forget_loss, log_path_distances
from retrain_equivalence.theory.world import WorldShape, draw_world

STEPS = (0, 5, 10, 20, 50, 100, 200, 500)
"""Of ascent, in the table and the figure of equal steps."""
DECADES = (0, 1, 2, 4, 8, 16, 32, 64, 128)
"""Powers of ten by which the forget loss exceeds the larger loss at the start, in the other table and figure."""
NEAR = 0.01
"""Distance from the limit, on the scale 0 to 4, that counts as having arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """One world's two orders."""

    log_distance: Array
    """log d(θ^AB, θ^BA) on the test inputs at STEPS."""
    relative: Array
    """‖e^a − e^b‖² / ‖e^a‖² at STEPS, a the history whose residual is larger at the start."""
    relative_limit: float
    matched: Array
    """At DECADES."""
    outcome: MatchedLimit
    limit: float
    arrives_at: float
    """log10 of the loss, relative to the start, from which the matched gap stays within NEAR of its limit."""
    wait: float
    """Steps that the history with the smaller loss needs to reach ten times the larger loss, beyond the other's."""
    exponent: float | None
    loss_apart: float
    """Largest relative difference of the two forget losses at whole levels, recomputed from the times of stopping."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "isotropic",
    learning_rate: float = 1.0,
    dim: int = 200,
    forget_rows: int = 20,
    penalty: float = 0.1,
) -> Answer:
    """Compare AB and BA at equal steps and at equal forget loss.

    Args:
        seeds: how many worlds.
        seed: of the first.
        law: of the inputs, by name.
        learning_rate: η of the ascent.
        dim: d.
        forget_rows: k, the first rows of stage B, which has 60.
        penalty: μ of every stage.

    Raises:
        InputError: E-DATA-102, -103, -107 or -108 for options that make no world.
    """
    positive(seeds, "seeds")
    shape = WorldShape(
        law=law_named(law), dim=dim, forget=(0, forget_rows), rule=ProximalRidge(penalty=penalty)
    )  # fmt: skip
    pairs: list[_Pair] = []
    without_ascent = 0
    for number in range(seed, seed + seeds):
        world = draw_world(shape, number)
        thetas = np.stack([world.trained((0, 1)), world.trained((1, 0))])
        pair = _compare(world.span(), world.forget_targets, thetas, world.test_inputs, learning_rate)
        if pair is None:
            without_ascent += 1
        else:
            pairs.append(pair)
    settings = {
        "seeds": seeds, "seed": seed, "law": law, "learning_rate": learning_rate, "dim": dim,
        "forget_rows": forget_rows, "penalty": penalty, "stage_rows": list(shape.stage_rows),
        "test_rows": shape.test_rows,
    }  # fmt: skip
    return Answer(
        name="matched",
        title="Equal steps and equal forgetting",
        question="Is the divergence of two training orders a property of the pair, or of gradient ascent itself?",
        says=_says(pairs, without_ascent, settings),
        settings=settings,
        numbers=_numbers(pairs, without_ascent),
        tables=_tables(pairs, settings),
        draw=lambda: _figures(pairs, settings),
    )


def _compare(span: ForgetSpan, targets: Array, thetas: Array, test_inputs: Array, learning_rate: float) -> _Pair | None:
    limit = matched_limit(span, targets, thetas)
    if limit.value is None:
        return None
    starts = log_forget_loss(span, targets, thetas, learning_rate=learning_rate, steps=[0])[:, 0]
    ordered = thetas[np.argsort(-starts)]
    relative_limit = equal_steps_limit(span, targets, ordered)
    top = float(starts.max())
    fine = np.linspace(0, DECADES[-1], 4 * DECADES[-1] + 1)
    levels = top + np.log(10) * fine
    gaps = matched_gap(span, targets, thetas, learning_rate=learning_rate, log_losses=levels)
    away = np.flatnonzero(np.abs(gaps - limit.value) > NEAR)
    last = int(away[-1]) + 1 if away.size else 0
    times = steps_to_loss(span, targets, ordered, learning_rate=learning_rate, log_losses=[top + np.log(10)])[:, 0]
    return _Pair(
        log_distance=log_path_distances(
            span, thetas[:1] - thetas[1:], test_inputs, learning_rate=learning_rate, steps=STEPS
        )[0],
        relative=equal_steps_gap(span, targets, ordered, learning_rate=learning_rate, steps=STEPS),
        relative_limit=float("inf") if isinstance(relative_limit, MatchedLimit) else relative_limit,
        matched=gaps[np.searchsorted(fine, DECADES)],
        outcome=limit.outcome,
        limit=limit.value,
        arrives_at=float(fine[last]) if last < len(fine) else float("inf"),
        wait=float(times[1] - times[0]),
        exponent=absolute_gap_exponent(span, learning_rate),
        loss_apart=_loss_apart(span, targets, thetas, learning_rate, levels[:: 4 * 8]),
    )


def _loss_apart(span: ForgetSpan, targets: Array, thetas: Array, learning_rate: float, levels: Array) -> float:
    times = steps_to_loss(span, targets, thetas, learning_rate=learning_rate, log_losses=levels)
    powers = times[..., None] * np.log1p(span.rates(learning_rate))
    with np.errstate(divide="ignore"):
        logs = 2 * (powers + np.log(np.abs(residuals(span, targets, thetas)))[:, None, :])
    top = logs.max(axis=-1)
    losses = top + np.log(np.exp(logs - top[..., None]).sum(axis=-1))
    return float(np.abs(np.expm1(losses[0] - losses[1])).max())


def _says(pairs: Sequence[_Pair], without_ascent: int, settings: dict[str, Any]) -> tuple[str, ...]:
    found: list[str] = []
    n = len(pairs)
    if pairs:
        counts = Counter(p.outcome for p in pairs)
        at = STEPS.index(100)
        growth = Summary.of([float(p.log_distance[at] - p.log_distance[0]) / np.log(10) for p in pairs])
        relative = Summary.of([float(p.relative[at]) for p in pairs])
        start = Summary.of([float(p.relative[0]) for p in pairs])
        far = Summary.of([float(p.matched[-1]) for p in pairs])
        early = Summary.of([float(p.matched[1]) for p in pairs])
        is_ascents_own = growth.median > 2 and relative.median < 10 * start.median
        found.append(
            f"{'Of ascent itself' if is_ascents_own else 'Of the pair too'}: "
            f"at equal steps the distance of the two orders on the test inputs is multiplied by 10^{growth.text()} in "
            f"100 steps, but relative to a history's own residual on the forget set the squared gap goes from "
            f"{start.text()} to {relative.text()} (median and range over {n} worlds; law {settings['law']}, "
            f"d = {settings['dim']}, k = {settings['forget_rows']}, η = {settings['learning_rate']:g})."
        )
        found.append(
            f"At equal forgetting, when both are stopped at the same forget loss, the gap relative to that loss tends "
            f"to 0 in {counts[MatchedLimit.COLLAPSES]} and to 4 in {counts[MatchedLimit.FLIPS]} of {n} worlds, by the "
            f"signs of the two residuals on the leading mode" + _others(counts) + "."
        )
        found.append(
            f"At ten times the larger loss of the start the gap is {early.text()}, and at 10^{DECADES[-1]} times "
            f"{far.text()}, where 0 is equal, 2 orthogonal and 4 opposite."
        )
        arrived = [p.arrives_at for p in pairs if np.isfinite(p.arrives_at)]
        if arrived:
            found.append(
                f"It stays within {NEAR:g} of its limit from a loss of 10^{Summary.of(arrived).text()} times the start "
                f"on, in the {len(arrived)} of {n} worlds that get there by 10^{DECADES[-1]}: the leading mode wins "
                f"slowly where the two largest curvatures are close."
            )
        exponents = [p.exponent for p in pairs if p.exponent is not None]
        if exponents:
            found.append(
                f"Collapse is relative: at equal loss c the gap itself still grows, as c^a with "
                f"a = log(1 + x_2) / log(1 + x_1) = {Summary.of(exponents).text()}, where a flipped pair grows as c."
            )
        wait = Summary.of([p.wait for p in pairs])
        found.append(
            f"To reach ten times the larger loss, the history with the smaller loss at the start needs {wait.text()} "
            f"steps more than the other."
        )
        apart = Summary.of([p.loss_apart for p in pairs])
        found.append(
            f"The expected losses on the forget set then agree to {apart.high:.1g} of their size, whatever the gap: "
            f"retrain equivalence by expected loss would call even opposite pairs equal, so it does not inherit the "
            f"theorem's bound."
        )
    if without_ascent:
        found.append(
            f"In {without_ascent} of {n + without_ascent} worlds a history has no residual on the forget set: its "
            "ascent never starts, and no step matches the two."
        )
    return tuple(found)


def _others(counts: Counter[MatchedLimit]) -> str:
    rest = sum(n for outcome, n in counts.items() if outcome not in (MatchedLimit.COLLAPSES, MatchedLimit.FLIPS))
    return f" (in {rest} to another value: a leading mode is missing or repeated)" if rest else ""


def _numbers(pairs: Sequence[_Pair], without_ascent: int) -> dict[str, Any]:
    if not pairs:
        return {"worlds": 0, "worlds_without_ascent": without_ascent}
    arrived = [p.arrives_at for p in pairs if np.isfinite(p.arrives_at)]
    exponents = [p.exponent for p in pairs if p.exponent is not None]
    limits = [p.relative_limit for p in pairs if np.isfinite(p.relative_limit)]
    return {
        "worlds": len(pairs),
        "worlds_without_ascent": without_ascent,
        "outcomes": {outcome.name.lower(): sum(p.outcome is outcome for p in pairs) for outcome in MatchedLimit},
        "log_distance_at_steps": {
            str(t): Summary.of([float(p.log_distance[i]) for p in pairs]).numbers() for i, t in enumerate(STEPS)
        },
        "relative_gap_at_steps": {
            str(t): Summary.of([float(p.relative[i]) for p in pairs]).numbers() for i, t in enumerate(STEPS)
        },
        "relative_gap_limit": Summary.of(limits).numbers() if limits else "infinite in every world",
        "matched_gap_at_decades": {
            str(c): Summary.of([float(p.matched[i]) for p in pairs]).numbers() for i, c in enumerate(DECADES)
        },
        "log10_loss_from_which_near_limit": Summary.of(arrived).numbers() if arrived else "beyond the last decade",
        "worlds_near_limit": len(arrived),
        "absolute_gap_exponent": Summary.of(exponents).numbers() if exponents else "undefined: one mode",
        "largest_relative_loss_difference_when_matched": max(p.loss_apart for p in pairs),
        "steps_waited": Summary.of([p.wait for p in pairs]).numbers(),
        "matched_gap_of_each_world": [p.matched.tolist() for p in pairs],
        "outcome_of_each_world": [p.outcome.name.lower() for p in pairs],
    }


def _tables(pairs: Sequence[_Pair], settings: dict[str, Any]) -> tuple[Table, ...]:
    if not pairs:
        return ()
    about = f"{len(pairs)} worlds, law {settings['law']}, η = {settings['learning_rate']:g}; median (range)"
    steps = [
        {
            "t": f"{t}",
            "distance": Summary.of([float(p.log_distance[i]) / np.log(10) for p in pairs]).text(),
            "relative": Summary.of([float(p.relative[i]) for p in pairs]).text(),
        }
        for i, t in enumerate(STEPS)
    ]
    matched = [
        {
            "loss": f"10^{c}",
            **{
                outcome.name: _text([float(p.matched[i]) for p in pairs if p.outcome is outcome])
                for outcome in (MatchedLimit.COLLAPSES, MatchedLimit.FLIPS)
            },
        }
        for i, c in enumerate(DECADES)
    ]
    return (
        Table.of(
            f"At equal steps t: the distance, and the gap relative to a history's own residual ({about})",
            (
                Column(head="t", text=lambda r: str(r["t"]), numeric=True),
                Column(head="log10 d(θ_AB, θ_BA), test inputs", text=lambda r: str(r["distance"]), numeric=True),
                Column(head="‖e_a − e_b‖² / ‖e_a‖², forget inputs", text=lambda r: str(r["relative"]), numeric=True),
            ),
            steps,
        ),
        Table.of(
            f"At equal forget loss c: ‖e_a − e_b‖² / (kc) ({about})",
            (
                Column(head="c / larger loss at t = 0", text=lambda r: str(r["loss"]), numeric=True),
                Column(head="worlds with equal signs", text=lambda r: str(r["COLLAPSES"]), numeric=True),
                Column(head="worlds with opposite signs", text=lambda r: str(r["FLIPS"]), numeric=True),
            ),
            matched,
        ),
    )


def _text(values: Sequence[float]) -> str:
    return Summary.of(values).text() if values else "no such world"


def _figures(pairs: Sequence[_Pair], settings: dict[str, Any]) -> tuple[Figure, ...]:
    if not pairs:
        return ()
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import line_panel

    looks = series_of(
        [("steps", "equal steps, all worlds"), ("COLLAPSES", "equal signs on the leading mode"),
         ("FLIPS", "opposite signs on the leading mode")]
    )  # fmt: skip
    distance = band_points("steps", STEPS, np.stack([p.log_distance for p in pairs]) / np.log(10))
    relative = band_points("steps", STEPS, np.stack([p.relative for p in pairs]))
    matched = [
        point
        for outcome in (MatchedLimit.COLLAPSES, MatchedLimit.FLIPS)
        if any(p.outcome is outcome for p in pairs)
        for point in band_points(outcome.name, DECADES, np.stack([p.matched for p in pairs if p.outcome is outcome]))
    ]
    name = "theory-matched"
    panels = (
        to_svg(
            line_panel(
                pd.DataFrame(distance), looks, title="Equal steps: the distance", x_title="ascent steps t",
                y_title="log10 of d(AB, BA), test inputs",
            ),
            name=f"{name}-distance", label="Logarithm of the distance of two orders, against steps.",
        ),
        to_svg(
            line_panel(
                pd.DataFrame(relative), looks, title="Equal steps: relative to the residual",
                x_title="ascent steps t", y_title="‖e_a − e_b‖² / ‖e_a‖²",
            ),
            name=f"{name}-relative", label="Gap relative to a history's own residual, against steps.",
        ),
        to_svg(
            line_panel(
                pd.DataFrame(matched), looks, title="Equal forgetting", y_domain=(-0.1, 4.1),
                x_title="log10 of forget loss c / larger loss at t = 0", y_title="‖e_a − e_b‖² / (kc)",
            ),
            name=f"{name}-loss", label="Gap at equal forget loss, against that loss: towards 0 or towards 4.",
        ),
    )  # fmt: skip
    return (
        Figure(
            name=name,
            title="Two orders at equal steps, and at equal forgetting",
            panels=panels,
            legend=of_series(looks),
            caption=(
                f"Orders AB and BA under ascent, {len(pairs)} worlds (law {settings['law']}, d = {settings['dim']}, "
                f"k = {settings['forget_rows']}, η = {settings['learning_rate']:g}). Lines are medians, bands the "
                f"range over worlds. a is the history with the larger forget loss at the start; e its residuals on the "
                f"forget set. No units: targets have variance near 1."
            ),
            table=_tables(pairs, settings)[1],
        ),
    )
