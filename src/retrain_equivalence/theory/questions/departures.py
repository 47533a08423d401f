"""Which departures from plain steps break the freeze off the span, and how fast can a gap grow under them?"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.optimizers import (
    Adam,
    Clipped,
    Decayed,
    LowRank,
    Momentum,
    Optimizer,
    Plain,
    squared_loss_gradient,
)
from retrain_equivalence.theory.summary import Summary, band_points

FROZEN = 1e-12
"""Relative to the largest parameter norm up to then: rounding of the updates."""
POINTS = 60
LORA_SHARE = 0.05
"""LoRA's step size as a share of the plain one: both factors grow, so that ascent leaves float64 far sooner."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    dim: int = 60,
    outputs: int = 3,
    forget_rows: int = 10,
    steps: int = 400,
    top_rate: float = 0.02,
    adam_rate: float = 0.01,
    clip: float = 0.5,
    decay: float = 0.05,
    rank: int = 4,
) -> Answer:
    """Ascend one squared loss from two histories under each optimiser.

    Args:
        seeds: independent worlds.
        seed: the first of them.
        dim: d.
        outputs: p, of Θ (p × d).
        forget_rows: k.
        steps: of ascent.
        top_rate: x_1 = η h_1 of plain steps: sets η per world.
        adam_rate: η of Adam.
        clip: G, the norm at which gradients are clipped.
        decay: λ.
        rank: r of LoRA.
    """
    settings: dict[str, Any] = {
        "seeds": seeds, "seed": seed, "dim": dim, "outputs": outputs, "forget_rows": forget_rows, "steps": steps,
        "top_rate": top_rate, "adam_rate": adam_rate, "clip": clip, "decay": decay, "rank": rank,
        "adam_betas": [0.9, 0.999],
    }  # fmt: skip
    runs: dict[str, list[dict[str, Any]]] = {}
    for s in range(seed, seed + seeds):
        for found in _world(
            s, dim=dim, outputs=outputs, rows=forget_rows, steps=steps, top_rate=top_rate, adam_rate=adam_rate,
            clip=clip, decay=decay, rank=rank,
        ):  # fmt: skip
            runs.setdefault(found["name"], []).append(found)
    rows = [_row(name, found) for name, found in runs.items()]
    by_name = {r["name"]: r for r in rows}
    lora = Summary.of([r["off_share"] for r in runs["lora"]])
    fixed = Summary.of([r["off_share"] for r in runs["lora, A frozen"]])
    inside = max(r["outside_a"] for r in runs["lora, A frozen"])
    worst_adam = Adam(learning_rate=adam_rate)
    decayed = max(r["decay_error"] for r in runs["weight decay"])
    frozen = [r["name"] for r in rows if r["worst_drift"] <= FROZEN]
    silence = (1 - worst_adam.beta1) / (1 - worst_adam.beta2) ** 0.5
    bounded = {n: [r["gap_over_bound"] for r in runs[n]] for n in ("clipped", "adam")}
    growing = Summary.of([r["adam_step"] for r in runs["adam"]])
    says = (
        f"Off the span of the forget inputs the difference of two histories stayed frozen, within {FROZEN:g} of the "
        f"largest parameter norm, under {', '.join(frozen) or 'none'} ({steps} steps, n = {seeds} worlds each).",
        f"Under Adam the off-span difference came to {by_name['adam']['off'].text()} times its start; LoRA put "
        f"{lora.text()} of its weight change off the span.",
        f"With LoRA's A frozen the change lies in span(X AᵀA) (at most {inside:.1g} outside), and {fixed.text()} of it "
        f"outside span(X).",
        f"Weight decay shrinks the off-span difference exactly by (1 − ηλ)^t: to "
        f"{by_name['weight decay']['off'].text()} of the start, within {decayed:.1g} of the formula (relative).",
        f"On the span, plain steps multiplied the difference by {by_name['plain']['on'].text()} and momentum by "
        f"{by_name['momentum']['on'].text()}; under clipping and Adam a gap grows at most linearly: at the end it "
        f"was at most {max(bounded['clipped']):.2g} of ‖Δ_0‖₂ + 2ηtG and {max(bounded['adam']):.2g} of ‖Δ_0‖_∞ + 2ηΣc.",
        f"Adam's largest step here was {growing.text()} η per coordinate; gradients that grow exponentially can reach "
        f"{worst_adam.largest_step():.3g} η, above the {silence:.3g} η of one gradient after silence.",
    )
    return Answer(
        name="departures",
        title="Optimisers: what keeps the freeze and what breaks it",
        question="Which departures from plain gradient steps break the freeze off the span of the forget inputs?",
        says=says,
        settings=settings,
        numbers={
            "optimisers": {
                r["name"]: {
                    "off_span_growth": r["off"].numbers(), "on_span_growth": r["on"].numbers(),
                    "largest_drift": r["worst_drift"], "off_span_share_of_change": r["share"].numbers(),
                    "predicted_off_span": r["predicted"],
                }
                for r in rows
            },
            "gap_over_linear_bound": {n: Summary.of(v).numbers() for n, v in bounded.items()},
            "adam_largest_step": growing.numbers(), "adam_worst_case_step": worst_adam.largest_step(),
            "lora_frozen_a_outside_span_xaa": inside,
        },
        tables=(_table(rows, steps, seeds),),
        draw=lambda: (_figure(runs, steps, seeds),),
    )  # fmt: skip


def _world(
    seed: int, *, dim: int, outputs: int, rows: int, steps: int, top_rate: float, adam_rate: float, clip: float,
    decay: float, rank: int,
) -> list[dict[str, Any]]:  # fmt: skip
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((rows, dim)) / np.sqrt(dim)
    gradient = squared_loss_gradient(inputs, rng.standard_normal((rows, outputs)))
    base = rng.standard_normal((outputs, dim))
    starts = base + 0.1 * rng.standard_normal((2, outputs, dim))
    basis = np.linalg.svd(inputs, full_matrices=False)[2]
    rate = float(top_rate / (2 / rows * np.linalg.norm(inputs, 2) ** 2))
    down = rng.standard_normal((rank, dim)) / np.sqrt(dim)
    rules: tuple[Optimizer, ...] = (
        Plain(learning_rate=rate), Momentum(learning_rate=rate / 10), Clipped(learning_rate=rate, clip=clip),
        Decayed(learning_rate=rate, decay=decay / rate / steps), Adam(learning_rate=adam_rate),
        LowRank(learning_rate=rate * LORA_SHARE, down=down),
        LowRank(learning_rate=rate * LORA_SHARE, down=down, frozen_down=True, name="lora, A frozen"),
    )  # fmt: skip
    return [_run(rule, gradient, starts, basis, steps, inputs, down) for rule in rules]


def _run(
    rule: Optimizer, gradient: Any, starts: Array, basis: Array, steps: int, inputs: Array, down: Array
) -> dict[str, Any]:  # fmt: skip
    path = rule.states(gradient, starts, steps)
    gap = path[:, 0] - path[:, 1]
    on = gap @ basis.T @ basis
    off = gap - on
    on_norms, off_norms = (np.linalg.norm(part, axis=(1, 2)) for part in (on, off))
    sizes: Array = np.maximum.accumulate(np.linalg.norm(path, axis=(2, 3)).max(axis=1))
    expected: Array = np.ones(steps + 1)
    if isinstance(rule, Decayed):
        expected = np.power(rule.factor, np.arange(steps + 1))
    drift: Array = np.linalg.norm(off - expected[:, None, None] * off[0], axis=(1, 2)) / sizes
    change = path[-1] - path[0]
    outside = change - change @ basis.T @ basis
    span_a = np.linalg.svd(inputs @ down.T @ down, full_matrices=False)[2][: down.shape[0]]
    found: dict[str, Any] = {
        "name": rule.name, "off_span": rule.off_span.value, "on": on_norms / on_norms[0],
        "off": off_norms / off_norms[0],
        "drift": float((np.linalg.norm(off - off[0], axis=(1, 2)) / sizes).max()),
        "off_share": float(np.linalg.norm(outside) / np.linalg.norm(change)),
        "outside_a": float(np.linalg.norm(change - change @ span_a.T @ span_a) / np.linalg.norm(change)),
        "decay_error": float(drift.max()),
    }  # fmt: skip
    if isinstance(rule, Clipped):
        bounds = np.array([rule.gap_bound(float(np.linalg.norm(gap[0])), t) for t in range(steps + 1)])
        found["gap_over_bound"] = float((np.linalg.norm(gap, axis=(1, 2)) / bounds)[-1])
    if isinstance(rule, Adam):
        moved = np.abs(np.diff(path, axis=0)).max() / rule.learning_rate
        bounds = np.abs(gap[0]).max() + 2 * rule.learning_rate * np.concatenate(
            [[0.0], np.cumsum([rule.largest_step(t) for t in range(1, steps + 1)])]
        )  # fmt: skip
        found |= {
            "adam_step": float(moved), "gap_over_bound": float((np.abs(gap).max(axis=(1, 2)) / bounds)[-1]),
        }  # fmt: skip
    return found


def _row(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name, "predicted": found[0]["off_span"], "on": Summary.of([r["on"][-1] for r in found]),
        "off": Summary.of([r["off"][-1] for r in found]), "worst_drift": max(r["drift"] for r in found),
        "share": Summary.of([r["off_share"] for r in found]),
    }  # fmt: skip


def _table(rows: list[dict[str, Any]], steps: int, seeds: int) -> Table:
    columns = (
        Column(head="optimiser", text=lambda r: str(r["name"])),
        Column(head="off the span, predicted", text=lambda r: str(r["predicted"])),
        Column(head="off-span gap, times the first", text=lambda r: r["off"].text(), numeric=True),
        Column(head="on-span gap, times the first", text=lambda r: r["on"].text(), numeric=True),
        Column(head="off-span share of a history's own change", text=lambda r: r["share"].text(2), numeric=True),
    )
    return Table.of(f"After {steps} steps of ascent, median (range) over {seeds} worlds", columns, rows)


def _domain(records: list[dict[str, Any]], part: str) -> tuple[float, float] | None:
    from retrain_equivalence.figures.panel import common_domain

    return common_domain([float(r[b]) for r in records if r["part"] == part for b in ("low", "high")], log=True)


def _figure(runs: dict[str, list[dict[str, Any]]], steps: int, seeds: int) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import line_panel

    looks = series_of((name, name) for name in runs)
    at = np.unique(np.linspace(0, steps, POINTS).astype(int))
    records: list[dict[str, Any]] = []
    for name, found in runs.items():
        for part in ("off", "on"):
            paths = np.array([r[part] for r in found])[:, at]
            records += [{**point, "part": part} for point in band_points(name, map(int, at), paths)]
    frame = pd.DataFrame(records)
    panels = [
        line_panel(
            frame[frame["part"] == part], looks, title=title, x_title="step of ascent",
            y_title="gap between histories, times the first", log=True,
            y_domain=_domain(records, part),
        )
        for part, title in (("off", "Off the span of the forget inputs"), ("on", "On the span"))
    ]  # fmt: skip
    table = Table.of(
        "Medians and ranges behind the figure",
        (
            Column(head="optimiser", text=lambda r: str(r["series"])),
            Column(head="part", text=lambda r: str(r["part"])),
            Column(head="step", text=lambda r: str(r["x"]), numeric=True),
            Column(head="factor", text=lambda r: f"{r['y']:.4g}", numeric=True),
            Column(head="low", text=lambda r: f"{r['low']:.4g}", numeric=True),
            Column(head="high", text=lambda r: f"{r['high']:.4g}", numeric=True),
        ),
        [r for r in records if r["x"] in set(at[::12].tolist()) | {steps}],
    )  # fmt: skip
    return Figure(
        name="departures", title="Plain steps, momentum and clipping freeze what they cannot see; Adam does not",
        panels=tuple(
            to_svg(p, name=f"departures-{n}", label=f"Gap {n} the span over steps of ascent for each optimiser")
            for p, n in zip(panels, ("off", "on"), strict=True)
        ),
        legend=of_series(looks),
        caption=f"Norm of the difference of two histories, as a multiple of its start, over {steps} steps of ascent on "
        f"one squared loss; median and range over {seeds} worlds. Step sizes differ between optimisers.",
        table=table,
    )  # fmt: skip
