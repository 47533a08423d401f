"""Does a method expand the gap between histories beyond squared loss? As fast as it accelerates."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.logistic_ascent import count_steps, extra_steps, limit_gap
from retrain_equivalence.theory.logistic_history import two_logistic_orders
from retrain_equivalence.theory.npo_weights import loss_at_constant_gradient
from retrain_equivalence.theory.speed_law import (
    ExamplesFlow,
    MarginFlow,
    ascent,
    distillation,
    flowed,
    log_loss,
    npo,
    phase_at,
    relabelling,
    simnpo,
    speed_ratio,
    weighted_ascent,
)
from retrain_equivalence.theory.summary import Summary, band_points

SMALL = 1e-5
"""The gap whose growth is followed: small enough that the first order holds to five digits."""
SMALLEST_FACTOR = 1e-2
"""Factors below it are compared no further: the gap then nears the tolerance of the integration."""
RESOLVED = 1e-6
"""Factors below it are a gap below the tolerance of the integration: no number is printed."""
POINTS = 61
LATE = 1e5
"""ηt at which NPO's gaps have nearly come to their limits."""
LOWEST_DRAWN = 1e-3
VECTOR_DIM = 8
END = -2.0
"""The margin at which the example of the two-stage world counts as forgotten: probability 0.12."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    horizon: float = 60.0,
    beta: float = 0.5,
    dim: int = 400,
    rows: int = 20,
    conflict: float = 0.3,
    train_steps: int = 1000,
    train_rate: float = 2.0,
    learning_rate: float = 0.05,
) -> Answer:
    """Compare gaps of logistic flows with the speed law, and steps to forget with their closed form.

    Args:
        seeds: independent draws.
        seed: the first of them.
        horizon: ηt‖x‖² followed.
        beta: of NPO, SimNPO and WGA.
        dim: of the two-stage logistic world.
        rows: of each of its stages.
        conflict: how far each row of a stage teaches the opposite of a row of the other.
        train_steps: of each of its stages.
        train_rate: step size of training.
        learning_rate: η of explicit ascent steps.
    """
    settings: dict[str, Any] = {
        "seeds": seeds, "seed": seed, "horizon": horizon, "beta": beta, "dim": dim, "rows": rows, "conflict": conflict,
        "train_steps": train_steps, "train_rate": train_rate, "learning_rate": learning_rate, "small_gap": SMALL,
        "start_margins": "uniform on [1, 3]",
    }  # fmt: skip
    numbers_of = range(seed, seed + seeds)
    starts = np.array([np.random.default_rng(s).uniform(1, 3) for s in numbers_of])
    times = np.linspace(0, horizon, POINTS)
    curves = {flow.name: _curve(flow, starts, times) for flow in _flows(beta)}
    follows = [_follow(name, horizon, *curve) for name, curve in curves.items()]
    recent = [
        _recency(
            s, dim=dim, rows=rows, conflict=conflict, steps=train_steps, rate=train_rate, learning_rate=learning_rate
        )
        for s in numbers_of
    ]
    vectors = np.array([_vector_error(s, horizon=horizon) for s in numbers_of])
    references = _references(starts, times, beta)
    extra = Finding.of("extra steps", [r["measured"] for r in recent])
    closed = Finding.of("over the closed form", [r["over_closed"] for r in recent])
    exponential = Finding.of("share of the exponentials", [r["exponential_share"] for r in recent])
    final = Finding.of("limit of the gap", [r["limit_factor"] for r in recent])
    worst = max(f["error"] for f in follows)
    own, common = Summary.of(references["own"][:, -1]), Summary.of(references["common"][:, -1])
    late = _references(starts, np.array([0.0, LATE]), beta)
    own_late, common_late = Summary.of(late["own"][:, -1]), Summary.of(late["common"][:, -1])
    by_name = {f["method"]: f for f in follows}
    slope = Summary.of(_late_slope(starts, beta))
    ga, sim, wga = by_name["ga"], by_name["simnpo"], by_name["wga"]
    says = (
        f"A method multiplies a small gap along its own path by the ratio of its speeds: in {len(follows)} logistic "
        f"flows × {seeds} starts the measured gap kept to v(t)/v(0) within {worst:.1g} (relative, wherever the factor "
        f"is above {SMALLEST_FACTOR:g}); with five examples at once, for a difference that starts along the flow, "
        f"within {vectors[:, 0].max():.1g}.",
        f"Logistic ascent ({ga['first']} at margin 2.5) has a finite limit: its factor is {ga['end'].text()} at "
        f"ηt = {horizon:g}; between two orders of two stages the margin gap tends to {final.text()} times its start.",
        f"Weighted ascent, followed from margin 2.5 to ηt = {horizon:g}: SimNPO is {sim['first']} first and "
        f"{sim['last']} at the end, its factor at most {sim['peak'].text()} at {POINTS} times and "
        f"{sim['end'].text()} at the last; WGA is {wga['first']} first and {wga['last']} at the end, with "
        f"{wga['peak'].text()} and {wga['end'].text()} (β = {beta:g}).",
        f"Descent to a fixed answer is {by_name['idk']['first']} from the start: relabelling ends at "
        f"{_factor(by_name['idk']['end'])}, the uniform answer at {_factor(by_name['uniform']['end'])}.",
        f"NPO depends on whose reference it uses: over ηt = {horizon:g} a gap in loss is multiplied by {own.text()} "
        f"with the history's own reference and by {common.text()} with a common one. In the long run the first "
        f"tends to the gap at the start ({own_late.text()} at ηt = {LATE:g}) and the second vanishes "
        f"({common_late.text()}, as t to the power {slope.text()}).",
        _recency_says(recent, learning_rate),
        f"What is not along the flow obeys no such law: of a random small difference in {VECTOR_DIM} dimensions a "
        f"share {Summary.of(vectors[:, 1]).text()} is transverse at ηt = {horizon:g}.",
    )
    return Answer(
        name="speed",
        title="Beyond squared loss: the speed law",
        question="Which methods expand the gap between two histories when the loss is not squared?",
        says=says,
        settings=settings,
        numbers={
            "flows": {
                f["method"]: {
                    "error": f["error"], "peak": f["peak"].numbers(), "end": f["end"].numbers(),
                    "phase_at_start": f["first"], "phase_at_end": f["last"],
                }
                for f in follows
            },
            "vector_error": float(vectors[:, 0].max()),
            "transverse_share": Summary.of(vectors[:, 1]).numbers(),
            "npo_own_reference": own.numbers(), "npo_common_reference": common.numbers(),
            "npo_own_reference_late": own_late.numbers(), "npo_common_reference_late": common_late.numbers(),
            "npo_common_slope": slope.numbers(), "extra_steps": _finding_numbers(extra),
            "worlds_with_more_steps_if_trained_last": sum(value > 0 for value in extra.values),
            "worlds_with_the_sign_of_the_closed_form": sum(r["has_sign"] for r in recent),
            "extra_steps_over_closed_form": _finding_numbers(closed),
            "exponential_share": _finding_numbers(exponential), "limit_gap_factor": _finding_numbers(final),
        },
        tables=(_flow_table(follows, horizon, seeds), _recency_table(recent)),
        draw=lambda: (_figure(curves, references, times, seeds, beta),),
    )  # fmt: skip


def _finding_numbers(found: Finding) -> dict[str, Any] | str:
    return found.summary.numbers() if found.summary else "undefined in every world"


def _factor(found: Summary) -> str:
    """Return median and range; what the integration does not resolve is named."""
    if found.high < RESOLVED:
        return f"below {RESOLVED:g}"
    median, low, high = (
        f"{value:.3g}" if value >= RESOLVED else f"below {RESOLVED:g}"
        for value in (found.median, found.low, found.high)
    )
    return f"{median} ({low} to {high})"


def _recency_says(recent: list[dict[str, Any]], learning_rate: float) -> str:
    """Say whether the example of the last stage took longer, from the counts of worlds."""
    counted = [r for r in recent if r["measured"] is not None]
    n, left_out = len(counted), len(recent) - len(counted)
    if not n:
        return (
            f"Recency was not measured: in none of {len(recent)} worlds do both orders count steps to margin {END:g}."
        )
    longer = sum(r["measured"] > 0 for r in counted)
    if longer == n:
        lead = "What was trained last took longer to forget in every world counted"
    elif 2 * longer > n:
        lead = "What was trained last took longer to forget in most worlds, not in all"
    else:
        lead = "What was trained last took longer to forget in at most half of the worlds"
    ratio = Finding.of("", [r["over_closed"] for r in counted])
    share = Finding.of("", [r["exponential_share"] for r in counted])
    rest = f"; {left_out} left out, where a margin starts or stays beyond the count" if left_out else ""
    return (
        f"{lead}: an example needed {Summary.of([r['measured'] for r in counted]).text(4)} more steps of ascent to "
        f"margin {END:g} if its stage was trained last than if first, more than 0 in {longer} of {n} worlds "
        f"(η = {learning_rate:g}{rest}). The sign is that of the closed form [(m₁−m₂) + (e^m₁−e^m₂)]/η in "
        f"{sum(r['has_sign'] for r in counted)} of {n}, the ratio to it {ratio.text(4)}; the exponentials are "
        f"{share.text()} of the closed form."
    )


def _flows(beta: float) -> tuple[MarginFlow, ...]:
    return (
        ascent(), npo(beta=beta, reference=2.5), simnpo(beta=beta), weighted_ascent(beta=beta), relabelling(),
        distillation(),
    )  # fmt: skip


def _curve(flow: MarginFlow, starts: Array, times: Array) -> tuple[MarginFlow, Array, Array]:
    """Return measured and predicted factors, each [H, T]."""
    levels = flowed(flow.speed, np.concatenate([starts - SMALL / 2, starts + SMALL / 2, starts]), list(times))
    low, high, middle = np.split(levels, 3)
    speeds = flow.speed(middle)
    return flow, (high - low) / SMALL, speeds / speeds[:, :1]


def _follow(name: str, horizon: float, flow: MarginFlow, measured: Array, predicted: Array) -> dict[str, Any]:
    compared = predicted >= SMALLEST_FACTOR
    ends = flowed(flow.speed, np.array([2.5]), [0.0, horizon])[0]
    return {
        "method": name, "formula": flow.formula, "error": float(np.abs(measured / predicted - 1)[compared].max()),
        "peak": Summary.of(measured.max(axis=1)), "end": Summary.of(np.maximum(measured[:, -1], 0)),
        "first": phase_at(flow.speed, float(ends[0])).value, "last": phase_at(flow.speed, float(ends[-1])).value,
    }  # fmt: skip


def _references(starts: Array, times: Array, beta: float) -> dict[str, Array]:
    """Return gaps in loss relative to the first, [H, T], for NPO with own and with one common reference."""
    found: dict[str, Array] = {}
    shift = 0.01
    for kind in ("own", "common"):
        rows = []
        for margin in starts:
            pair = [
                flowed(npo(beta=beta, reference=m if kind == "own" else margin).speed, np.array([m]), list(times))[0]
                for m in (margin, margin - shift)
            ]
            gaps = log_loss(pair[1]) - log_loss(pair[0])
            rows.append(gaps / gaps[0])
        found[kind] = np.array(rows)
    return found


def _late_slope(starts: Array, beta: float) -> Array:
    losses = log_loss(starts)
    common = [
        loss_at_constant_gradient(np.array([a, a + 0.5]), np.array([1e3, 1e6]), beta=beta, reference=float(a))
        for a in losses
    ]
    gaps = np.array([pair[1] - pair[0] for pair in common])
    found: Array = np.log(gaps[:, 1] / gaps[:, 0]) / np.log(1e3)
    return found


def _recency(
    seed: int, *, dim: int, rows: int, conflict: float, steps: int, rate: float, learning_rate: float
) -> dict[str, Any]:  # fmt: skip
    examples, first, last = two_logistic_orders(
        seed=seed, dim=dim, rows=rows, conflict=conflict, learning_rate=rate, n_steps=steps
    )
    margins = (float(examples[0] @ last), float(examples[0] @ first))
    counts = [count_steps(m, END, step=learning_rate) for m in margins]
    gap = margins[0] - margins[1]
    closed = extra_steps(margins[0], margins[1], learning_rate=learning_rate)
    # A margin that starts at or below the end takes no step, and the closed form does not hold.
    is_counted = min(margins) > END
    measured = counts[0] - counts[1] if is_counted and counts[0] is not None and counts[1] is not None else None
    return {
        "seed": seed, "margin_last": margins[0], "margin_first": margins[1], "steps_last": counts[0],
        "steps_first": counts[1],
        "measured": measured, "closed": closed,
        "over_closed": None if measured is None or not closed else measured / closed,
        "has_sign": measured is not None and bool(np.sign(measured) == np.sign(closed)),
        "limit_factor": limit_gap(margins[0], margins[1]) / gap if gap else None,
        "exponential_share": 1 - gap / limit_gap(margins[0], margins[1]) if gap else None,
    }  # fmt: skip


def _vector_error(seed: int, *, horizon: float) -> tuple[float, float]:
    """Return the error of the speed law for a difference along the flow, and a random difference's transverse share."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((5, VECTOR_DIM)) / np.sqrt(VECTOR_DIM)
    start = np.linalg.pinv(inputs) @ rng.uniform(1, 4, 5)
    flow = ExamplesFlow(inputs=inputs, speed=ascent().speed)
    times = list(np.linspace(0, horizon, 13))
    path = flow.states(start, times)
    velocity = flow.field(start)
    along = SMALL * velocity / np.linalg.norm(velocity)
    random = rng.standard_normal(VECTOR_DIM)
    random *= SMALL / np.linalg.norm(random)
    moved = (flow.states(start + along, times) - flow.states(start - along, times)) / 2
    factors = np.linalg.norm(moved, axis=1) / SMALL
    error = float(np.abs(factors / speed_ratio(flow, path) - 1).max())
    difference = (flow.states(start + random, times) - flow.states(start - random, times))[-1] / 2
    unit = flow.field(path[-1]) / np.linalg.norm(flow.field(path[-1]))
    rest = difference - (unit @ difference) * unit
    return error, float(np.linalg.norm(rest) / np.linalg.norm(difference))


def _flow_table(follows: list[dict[str, Any]], horizon: float, seeds: int) -> Table:
    columns = (
        Column(head="method", text=lambda r: str(r["method"])),
        Column(head="margin speed", text=lambda r: str(r["formula"])),
        Column(head="largest factor", text=lambda r: r["peak"].text(), numeric=True),
        Column(head="factor at the end", text=lambda r: _factor(r["end"]), numeric=True),
        Column(head="at margin 2.5", text=lambda r: str(r["first"])),
        Column(head="at the end", text=lambda r: str(r["last"])),
        Column(head="largest error of the law", text=lambda r: f"{r['error']:.1g}", numeric=True),
    )
    return Table.of(
        f"Factor of a small margin gap over ηt = {horizon:g}, median (range) over {seeds} starts", columns, follows
    )


def _recency_table(recent: list[dict[str, Any]]) -> Table:
    columns = (
        Column(head="seed", text=lambda r: f"{r['seed']:g}", numeric=True),
        Column(head="margin, trained last", text=lambda r: f"{r['margin_last']:.3f}", numeric=True),
        Column(head="margin, trained first", text=lambda r: f"{r['margin_first']:.3f}", numeric=True),
        Column(head="steps, last", text=lambda r: _count(r["steps_last"]), numeric=True),
        Column(head="steps, first", text=lambda r: _count(r["steps_first"]), numeric=True),
        Column(head="difference by closed form", text=lambda r: f"{r['closed']:.1f}", numeric=True),
    )
    caption = f"Steps of ascent until one example's margin is {END:g}, by the order of its stage"
    return Table.of(caption, columns, recent, folded=True)


def _count(steps: int | None) -> str:
    return "more than counted" if steps is None else f"{steps}"


def _figure(
    curves: dict[str, tuple[MarginFlow, Array, Array]], references: dict[str, Array], times: Array, seeds: int,
    beta: float,
) -> Figure:  # fmt: skip
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import common_domain, line_panel

    names = [name for name in curves if not name.startswith("npo")]
    looks = series_of((name, name) for name in (*names, "npo, common reference", "npo, own reference"))
    records = []
    for name, (_, measured, _) in curves.items():
        if not name.startswith("npo"):
            records += _points(name, times, measured, "margin")
    frame = pd.DataFrame(records)
    pairs = [
        *_points("npo, common reference", times, references["common"], "loss"),
        *_points("npo, own reference", times, references["own"], "loss"),
    ]
    left = line_panel(
        frame[frame["y"] > LOWEST_DRAWN],
        [s for s in looks if not s.name.startswith("npo")], title="Without a reference",
        x_title="ηt, unit example", y_title="gap in margin, times the first", log=True, y_domain=(LOWEST_DRAWN, 100.0),
    )  # fmt: skip
    right = line_panel(
        pd.DataFrame(pairs), [s for s in looks if s.name.startswith("npo")], title=f"NPO, β = {beta:g}",
        y_domain=common_domain([v for r in pairs for v in (r["low"], r["high"])], log=True),
        x_title="ηt, unit example", y_title="gap in loss, times the first", log=True,
    )  # fmt: skip
    table = Table.of(
        "Medians and ranges behind the figure",
        (
            Column(head="method", text=lambda r: str(r["series"])), Column(head="gap in", text=lambda r: str(r["of"])),
            Column(head="ηt", text=lambda r: f"{r['x']:g}", numeric=True),
            Column(head="factor", text=lambda r: f"{r['y']:.4g}", numeric=True),
            Column(head="low", text=lambda r: f"{r['low']:.4g}", numeric=True),
            Column(head="high", text=lambda r: f"{r['high']:.4g}", numeric=True),
        ),
        [*records[::6], *pairs[::6]],
    )  # fmt: skip
    return Figure(
        name="speed-law", title="Ascent speeds up, descent slows down, and the gap follows",
        panels=(
            to_svg(left, name="speed-law-margin", label="Gap in margin over time for five methods"),
            to_svg(right, name="speed-law-npo", label="Gap in loss over time for NPO with own and common reference"),
        ),
        legend=of_series(looks),
        caption=f"Factor of a small gap between two histories over unlearning time on one logistic example; median and "
        f"range over {seeds} start margins drawn from [1, 3]. Values below 0.001 are not drawn.",
        table=table,
    )  # fmt: skip


def _points(name: str, times: Array, factors: Array, of: str) -> list[dict[str, Any]]:
    return [{**point, "of": of} for point in band_points(name, map(float, times), factors)]
