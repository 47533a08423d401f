"""The closing table: predicted sign and rate of every method, beside what explicit steps do in small worlds."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from retrain_equivalence.core.predictions import Prediction
from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.linear_methods import retain_rows, unlearned
from retrain_equivalence.theory.method_table import METHODS, Kind, MethodRow, MethodSettings
from retrain_equivalence.theory.npo_weights import Reference, WeightedAscent
from retrain_equivalence.theory.speed_law import flowed, log_loss, weighted_ascent
from retrain_equivalence.theory.summary import Summary, band_points
from retrain_equivalence.theory.world import WorldShape, draw_world

SMALL = 1e-5
"""Of gaps on the logistic example."""
SAME = 0.005
"""Log factors within this of each other count as no change."""
QUARTERS = (0.25, 0.5, 0.75, 1.0)
CURVE_POINTS = 41


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    dim: int = 80,
    stage_rows: int = 30,
    forget_rows: int = 10,
    top_rate: float = 0.5,
    steps: int = 30,
    relearn_steps: int = 10,
    strength: float = 1.0,
    retain_weight: float = 1.0,
    beta: float = 1.0,
    flow_steps: int = 1000,
    flow_rate: float = 0.2,
) -> Answer:
    """Run every method on two histories of the same data and hold the difference against its prediction.

    Args:
        seeds: independent worlds.
        seed: the first of them.
        dim: d.
        stage_rows: of each of two stages.
        forget_rows: the first rows of the second stage.
        top_rate: x_1 = η h_1; sets η per world.
        steps: t of unlearning.
        relearn_steps: T of relearning and of the task vector.
        strength: α of the task vector.
        retain_weight: λ of graddiff.
        beta: of NPO, SimNPO, DPO and WGA on the logistic example.
        flow_steps: steps on the logistic example.
        flow_rate: η‖x‖² there.
    """
    settings = MethodSettings(n_steps=steps, relearn_steps=relearn_steps, strength=strength)
    shape = WorldShape(dim=dim, stage_rows=(stage_rows, stage_rows), forget=(0, forget_rows))
    found: dict[str, list[dict[str, Any]]] = {row.method: [] for row in METHODS}
    for s in range(seed, seed + seeds):
        for row in METHODS:
            if row.kind is Kind.LINEAR:
                result = _linear(row, shape, s, top_rate=top_rate, retain_weight=retain_weight, settings=settings)
            else:
                result = _logistic(row, s, beta=beta, n_steps=flow_steps, rate=flow_rate)
            found[row.method].append(result)
    rows = [_summary(row, found[row.method]) for row in METHODS]
    agreeing = [r for r in rows if r["agree"] == seeds]
    linear = [r for r in rows if r["kind"] == Kind.LINEAR.value]
    logistic = [r for r in rows if r["kind"] == Kind.LOGISTIC.value]
    by_name = {r["method"]: r for r in rows}
    kinds = {p: [r["method"] for r in rows if r["predicted"] == p.value] for p in Prediction}
    disagreeing = [f"{r['method']} ({r['agree']} of {seeds})" for r in rows if r["agree"] < seeds]
    exact = max(r["error"] for r in linear)
    drift = max(r["drift"] for r in linear if r["off_span"] == "frozen")
    says = (
        f"{len(agreeing)} of {len(rows)} methods showed the predicted sign in all {seeds} worlds"
        + (f"; the others: {', '.join(disagreeing)}." if disagreeing else "."),
        f"Under squared loss explicit steps gave the predicted difference of two histories to within "
        f"{exact:.1g} for {len(linear)} methods, and left it unchanged off the span to within "
        f"{drift:.1g} wherever that is predicted (both relative "
        f"to the larger of its norm and that of its start).",
        f"On one logistic example the first variation or the speed law gave the gap to within "
        f"{max(r['error'] for r in logistic):.1g} (relative) over {flow_steps} steps for {len(logistic)} methods.",
        f"Predicted to expand: {', '.join(kinds[Prediction.EXPANDING])}; GA multiplied the on-span gap by "
        f"{by_name['ga']['on'].text()} in {steps} steps (x_1 = {top_rate:g}).",
        f"Predicted to contract: {', '.join(kinds[Prediction.CONTRACTING])}; descent to a common target left "
        f"{by_name['idk']['on'].text()} of the on-span gap.",
        f"Predicted to be frozen: {', '.join(kinds[Prediction.FROZEN])}. Task vectors expand once, here by "
        f"{by_name['task vector']['on'].text()} (at most {1 + strength:g}).",
        f"NPO with its own reference peaks at {by_name['npo']['peak'].text()} times the first gap in loss, to which it "
        f"is predicted to return: {by_name['npo']['on'].text()} at ηt = {flow_steps * flow_rate:g}; SimNPO and WGA "
        f"peak at {by_name['simnpo']['peak'].text()} and {by_name['wga']['peak'].text()} and end at "
        f"{by_name['simnpo']['on'].text()} and {by_name['wga']['on'].text()} of the first margin gap (β = {beta:g}).",
        "These are predictions for language models, not findings on them: there the loss is another one, and under "
        "Adam or clipping a gap grows at most linearly.",
    )
    return Answer(
        name="methods",
        title="Every method: predicted sign and rate",
        question="What does each unlearning method do to the difference of two histories, on and off the forget span?",
        says=says,
        settings={
            "seeds": seeds, "seed": seed, "dim": dim, "stage_rows": stage_rows, "forget_rows": forget_rows,
            "top_rate": top_rate, "steps": steps, "relearn_steps": relearn_steps, "strength": strength,
            "retain_weight": retain_weight, "beta": beta, "flow_steps": flow_steps, "flow_rate": flow_rate,
            "start_margins": "uniform on [1, 3]", "histories": "orders AB and BA",
        },
        numbers={
            "methods": {
                r["method"]: {
                    "kind": r["kind"], "predicted": r["predicted"], "rate": r["rate"], "off_span": r["off_span"],
                    "conditions": r["conditions"], "needs": r["needs"], "factor": r["on"].numbers(),
                    "largest_factor": r["peak"].numbers(),
                    "largest_error": r["error"], "worlds_that_agree": r["agree"],
                    "off_span_drift": r["drift"] if r["kind"] == Kind.LINEAR.value else "undefined: one dimension",
                }
                for r in rows
            }
        },
        tables=(_prediction_table(rows), _check_table(rows, seeds)),
        draw=lambda: (_figure(found, seeds),),
    )  # fmt: skip


def _linear(
    row: MethodRow, shape: WorldShape, seed: int, *, top_rate: float, retain_weight: float, settings: MethodSettings
) -> dict[str, Any]:  # fmt: skip
    world = draw_world(shape, seed)
    span = world.span()
    rate = top_rate / float(span.curvatures[0])
    orders = ((0, 1), (1, 0))
    start = world.trained(orders[0]) - world.trained(orders[1])
    states = unlearned(
        row.method, world, orders, learning_rate=rate, retain_weight=retain_weight, settings=settings, seed=seed
    )
    shown = states[[round(share * settings.n_steps) for share in QUARTERS]]
    sizes = np.linalg.norm(span.on_span(shown[:, 0] - shown[:, 1]), axis=1) / np.linalg.norm(span.on_span(start))
    path = [1.0, *sizes.tolist()]
    ends = states[-1]
    moved = ends[0] - ends[1]
    off = float(np.linalg.norm(span.off_span(moved - start)))
    if row.method == "graddiff":
        retained, _ = retain_rows(world)
        forget = world.forget_inputs
        curvature = 2 / len(forget) * forget.T @ forget - retain_weight * 2 / len(retained) * retained.T @ retained
        expected = np.linalg.matrix_power(np.eye(len(start)) + rate * curvature, settings.n_steps) @ start
    elif (modes := row.factors(span, rate, settings)) is not None and row.method != "rewind":
        expected = (span.coordinates(start) * modes) @ span.basis + span.off_span(start)
    else:
        # Rewinding is held against each history's own oracle: that difference is predicted to be nothing.
        moved = (ends - np.stack([world.own_oracle(order) for order in orders])).ravel()
        expected = np.zeros_like(moved)
        path = [1.0, *[float(np.linalg.norm(moved) / np.linalg.norm(start))] * len(QUARTERS)]
    largest = max(float(np.linalg.norm(expected)), float(np.linalg.norm(start)))
    return {
        "path": path, "error": float(np.linalg.norm(moved - expected)) / largest, "drift": off / largest,
        "agrees": _agrees(row.on_span, path, settings), "peak": max(path),
    }  # fmt: skip


def _logistic(row: MethodRow, seed: int, *, beta: float, n_steps: int, rate: float) -> dict[str, Any]:
    margin = float(np.random.default_rng(seed).uniform(1, 3))
    starts = np.array([margin + SMALL / 2, margin - SMALL / 2])
    if row.method == "wga":
        times = np.linspace(0, rate * n_steps, 201)
        flow = weighted_ascent(beta=beta)
        levels = flowed(flow.speed, np.array([*starts, margin]), list(times))
        measured = (levels[0] - levels[1]) / SMALL
        speeds = flow.speed(levels[2])
        expected = speeds / speeds[0]
    elif row.method == "dpo":
        measured = _dpo_gap(starts, beta=beta, n_steps=n_steps, rate=rate) / SMALL
        expected = np.ones_like(measured)
    else:
        reference = Reference.OWN if row.method == "npo" else Reference.COMMON
        rule = WeightedAscent(inputs=np.ones((1, 1)), beta=beta, learning_rate=rate, reference=reference)
        ends = [rule.states(np.array([m]), n_steps)[:, 0] for m in starts]
        measured = (ends[0] - ends[1]) / SMALL
        path = rule.states(np.array([margin]), n_steps)
        expected = rule.differences(path, np.ones(1))[:, 0]
        if row.method == "npo":
            slopes = special.expit(-path[:, 0])
            measured = (log_loss(ends[1]) - log_loss(ends[0])) / SMALL / slopes[0]
            expected = expected * slopes / slopes[0]
    shown_at = np.linspace(0, len(measured) - 1, CURVE_POINTS).astype(int)
    peak, end = float(measured.max()), float(measured[-1])
    half = float(measured[len(measured) // 2])
    agrees = {
        Prediction.TURNS: peak > np.exp(SAME) and end < peak * np.exp(-SAME),
        Prediction.RETURNS: peak > np.exp(SAME) and abs(np.log(end)) < min(abs(np.log(half)), np.log(peak) / 2),
        Prediction.FROZEN: bool(np.abs(np.log(measured)).max() < SAME),
    }[row.on_span]
    return {
        "path": [float(v) for v in measured[shown_at]], "error": float(np.abs(measured / expected - 1).max()),
        "drift": 0.0, "agrees": bool(agrees), "peak": peak,
    }  # fmt: skip


def _dpo_gap(starts: Array, *, beta: float, n_steps: int, rate: float) -> Array:
    """Return the margin gap under DPO with two answers: the log ratio of the other answer to this one is −m."""
    moving = starts.copy()
    gaps = [moving[0] - moving[1]]
    for _ in range(n_steps):
        moving = moving - rate * 2 / (1 + np.exp(beta * (starts - moving)))
        gaps.append(moving[0] - moving[1])
    found: Array = np.array(gaps)
    return found


def _agrees(predicted: Prediction, path: list[float], settings: MethodSettings) -> bool:
    logs = np.log(np.maximum(path, np.finfo(np.float64).tiny))
    changes = np.diff(logs)
    return {
        Prediction.EXPANDING: bool(changes[-1] > SAME and logs[-1] > SAME),
        Prediction.CONTRACTING: bool((changes < 0).all()),
        Prediction.FROZEN: bool((np.abs(logs) < SAME).all()),
        Prediction.ONE_EXPANSION: bool(SAME < logs[-1] <= np.log1p(settings.strength) + SAME),
        Prediction.SHRINKS_THEN_EXPANDS: bool(logs[1:].min() < logs[-1] and (changes[1:] > 0).all()),
        Prediction.REMOVED: bool(path[-1] < SAME),
    }[predicted]


def _summary(row: MethodRow, found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "method": row.method, "kind": row.kind.value, "predicted": row.on_span.value, "rate": row.rate,
        "off_span": row.off_span, "conditions": row.conditions, "needs": row.needs,
        "on": Summary.of([r["path"][-1] for r in found]), "error": max(r["error"] for r in found),
        "peak": Summary.of([r["peak"] for r in found]),
        "drift": max(r["drift"] for r in found), "agree": sum(r["agrees"] for r in found),
    }  # fmt: skip


def _prediction_table(rows: list[dict[str, Any]]) -> Table:
    columns = (
        Column(head="method", text=lambda r: str(r["method"])),
        Column(head="on the span", text=lambda r: str(r["predicted"])),
        Column(head="factor after t steps", text=lambda r: str(r["rate"])),
        Column(head="off the span", text=lambda r: str(r["off_span"])),
        Column(head="exact for", text=lambda r: str(r["kind"])),
        Column(head="conditions", text=lambda r: str(r["conditions"])),
        Column(head="reads besides the forget rows", text=lambda r: str(r["needs"])),
    )
    return Table.of("Predictions, to be tested on language models (plain steps, common batches)", columns, rows)


def _check_table(rows: list[dict[str, Any]], seeds: int) -> Table:
    columns = (
        Column(head="method", text=lambda r: str(r["method"])),
        Column(head="predicted", text=lambda r: str(r["predicted"])),
        Column(head="largest gap, times the first", text=lambda r: r["peak"].text(), numeric=True),
        Column(head="gap at the end, times the first", text=lambda r: r["on"].text(), numeric=True),
        Column(head="worlds that agree", text=lambda r: f"{r['agree']} of {seeds}", numeric=True),
        Column(head="largest error", text=lambda r: f"{r['error']:.1g}", numeric=True),
    )
    return Table.of(f"The predictions against explicit steps, median (range) over {seeds} worlds", columns, rows)


def _figure(found: dict[str, list[dict[str, Any]]], seeds: int) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import common_domain, line_panel

    groups = (
        ("Squared loss", ("ga", "graddiff", "idk", "undial", "task vector", "relearn_first")),
        ("One logistic example", ("npo", "simnpo", "dpo", "wga")),
    )
    looks = series_of((name, name) for _, names in groups for name in names)
    records: list[dict[str, Any]] = []
    for title, names in groups:
        for name in names:
            paths = np.array([r["path"] for r in found[name]])
            records += [
                {**point, "panel": title}
                for point in band_points(name, map(float, 100 * np.linspace(0, 1, paths.shape[1])), paths)
            ]
    frame = pd.DataFrame(records)
    panels = tuple(
        to_svg(
            line_panel(
                frame[frame["panel"] == title], [s for s in looks if s.name in names], title=title,
                x_title="share of the unlearning steps, %",
                y_title="gap between histories, times the first", log=True,
                y_domain=common_domain(
                    [float(r[b]) for r in records if r["panel"] == title for b in ("low", "high")], log=True
                ),
            ),
            name=f"methods-{i}", label=f"Gap between two histories over unlearning, {title}",
        )
        for i, (title, names) in enumerate(groups)
    )  # fmt: skip
    table = Table.of(
        "Medians and ranges behind the figure",
        (
            Column(head="method", text=lambda r: str(r["series"])),
            Column(head="share of steps, %", text=lambda r: f"{r['x']:g}", numeric=True),
            Column(head="factor", text=lambda r: f"{r['y']:.4g}", numeric=True),
            Column(head="low", text=lambda r: f"{r['low']:.4g}", numeric=True),
            Column(head="high", text=lambda r: f"{r['high']:.4g}", numeric=True),
        ),
        records,
    )  # fmt: skip
    return Figure(
        name="methods", title="Who expands the gap between histories, who contracts it, who leaves it",
        panels=panels, legend=of_series(looks),
        caption=f"On-span difference of two histories (left) and margin gap (right; npo: gap in loss) as multiples of "
        f"their start; median and range over {seeds} worlds. The methods' step counts and units of time differ "
        f"between panels.",
        table=table,
    )  # fmt: skip
