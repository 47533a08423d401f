"""Does the per-instance privacy loss of a history predict how many steps forgetting takes, and recency?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.instance_privacy import NoisyDescent, composed_loss, small_step_loss, step_loss
from retrain_equivalence.theory.label_world import draw_labels
from retrain_equivalence.theory.logistic_ascent import clock
from retrain_equivalence.theory.summary import Summary

LEVEL = -1.0
"""Margin at which a row counts as forgotten: loss 1.31 nats, below chance for every row."""
HISTORIES = ("AB", "BA", "B alone")
"""Rows of B are unlearned: after B last, after B first, and after B first without the stage that follows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _History:
    """One history of one world; arrays over the K watched rows."""

    loss: Array
    """Composed over the noisy runs."""
    half_width: Array
    """Of its Monte-Carlo interval."""
    small: Array
    """Small-step value, mean over runs."""
    exact_steps: Array
    """Sum over steps of the exact loss at the order α, mean over runs: what composition adds to."""
    one_run: Array
    """Small-step value of the first run."""
    to_level: Array
    """Ascent steps to LEVEL at unit step size, median over runs: e^m has heavy tails."""
    to_oracle: Array
    """Ascent steps to the margin of the run without the row, same batches and noise; at least 0; median over runs."""
    above_oracle: Array
    """Margin above that of the run without the row: what the row taught of itself; median over runs."""


_World = dict[str, _History]


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "isotropic",
    dim: int = 20,
    stage_rows: int = 120,
    forget_rows: int = 20,
    runs: int = 20,
    steps: int = 100,
    rate: float = 0.1,
    noise: float = 3.0,
    learning_rate: float = 0.5,
    order: int = 8,
    agreement: float = 0.0,
) -> Answer:
    """Run noisy descent on two stages in both orders; compose the loss of rows of B; count ascent steps of each row.

    Args:
        seeds: how many worlds.
        seed: of the first.
        law: of the inputs, by name; rows are then scaled to norm 1, so that a gradient norm is a margin's slope.
        dim: d.
        stage_rows: n of each of two stages.
        forget_rows: K, the first rows of B; each is unlearned alone.
        runs: R, noisy runs per history.
        steps: T of each stage.
        rate: q.
        noise: σ per coordinate of the summed gradient.
        learning_rate: η of training.
        order: α.
        agreement: of the two teachers, 0 to 1.

    Raises:
        InputError: E-DATA-136 for too few or too many forget rows, E-DATA-137 or -138 for a rate, order or number of
            runs that is out of range, E-DATA-102 or -103 for other options that make no world.
    """
    positive(seeds, "seeds")
    if not 3 <= forget_rows <= stage_rows:
        raise InputError.of(
            "E-DATA-136",
            "forget_rows",
            f"{forget_rows} of {stage_rows}",
            "watch at least three rows: ranks are compared",
        )
    s: dict[str, Any] = {
        "seeds": seeds, "seed": seed, "law": law_named(law).name, "dim": dim, "stage_rows": stage_rows,
        "forget_rows": forget_rows, "runs": runs, "steps": steps, "rate": rate, "noise": noise,
        "learning_rate": learning_rate, "order": order, "agreement": agreement, "level_margin": LEVEL,
    }  # fmt: skip
    if runs < 2:
        raise InputError.of("E-DATA-138", "runs", f"{runs}", "use at least two: the loss is an expectation over runs")
    worlds = [_one_world(number, s) for number in range(seed, seed + seeds)]
    return Answer(
        name="privacy",
        title="Per-instance privacy loss and forgetting",
        question="Does a row's privacy loss along its history predict how many steps forgetting takes, and recency?",
        says=_says(worlds, s),
        settings=s,
        numbers=_numbers(worlds),
        tables=(_table(worlds, s),),
        draw=lambda: (_figure(worlds[0], s),),
    )


def _one_world(number: int, s: dict[str, Any]) -> _World:
    world = draw_labels(
        number, dim=s["dim"], stage_rows=(s["stage_rows"],) * 2, agreement=s["agreement"], law=law_named(s["law"])
    )
    stages = [
        y[:, None] * x / np.linalg.norm(x, axis=1, keepdims=True)
        for x, y in zip(world.inputs, world.labels, strict=True)
    ]
    descent = NoisyDescent(
        n_steps=s["steps"], rate=s["rate"], noise=s["noise"], learning_rate=s["learning_rate"]
    )  # fmt: skip
    k, n = s["forget_rows"], s["stage_rows"]
    watched = np.arange(k)
    # Variant 0 holds every row of B; variant 1 + j lacks row j.
    included = np.ones((k + 1, n))
    included[1 + watched, watched] = 0
    nothing = np.zeros((1, s["runs"], s["dim"]))

    def train(starts: Array, stage: int) -> tuple[Array, Array]:
        kept = included if stage == 1 else np.ones((len(starts), n))
        return descent.run(
            np.broadcast_to(starts, (len(kept), *starts.shape[1:])), stages[stage], seed=2 * number + stage,
            included=kept, watched=watched,
        )  # fmt: skip

    last, norms_last = train(train(nothing, 0)[0], 1)
    alone, norms_first = train(nothing, 1)
    first, _ = train(alone, 0)
    ends = {"AB": (last, norms_last), "BA": (first, norms_first), "B alone": (alone, norms_first)}
    return {name: _history(states, norms, stages[1][:k], s) for name, (states, norms) in ends.items()}


def _history(states: Array, norms: Array, rows: Array, s: dict[str, Any]) -> _History:
    found = composed_loss(norms, rate=s["rate"], noise=s["noise"], order=s["order"])
    small = small_step_loss(norms, rate=s["rate"], noise=s["noise"], order=s["order"]).sum(axis=1)
    margins: Array = states[0] @ rows.T
    without: Array = np.einsum("krd,kd->rk", states[1:], rows)
    return _History(
        loss=found.values,
        half_width=found.half_widths,
        small=small.mean(axis=0),
        exact_steps=step_loss(norms, rate=s["rate"], noise=s["noise"], order=s["order"]).sum(axis=1).mean(axis=0),
        one_run=small[0],
        to_level=np.median(np.maximum(clock(margins) - clock(np.array(LEVEL)), 0), axis=0),
        to_oracle=np.median(np.maximum(clock(margins) - clock(without), 0), axis=0),
        above_oracle=np.median(margins - without, axis=0),
    )


def _rank(a: Array, b: Array) -> float | None:
    """Return Spearman's correlation; None if either is constant."""
    if len(set(a.tolist())) < 2 or len(set(b.tolist())) < 2:
        return None
    return float(stats.spearmanr(a, b).statistic)


PROXIES: dict[str, Callable[[_History], Array]] = {
    "loss over noisy runs": lambda h: h.loss,
    "small-step value over noisy runs": lambda h: h.small,
    "small-step value of one run": lambda h: h.one_run,
}
"""What may predict."""
STEPS: dict[str, Callable[[_History], Array]] = {
    "steps to a common level": lambda h: h.to_level,
    "steps to the row's own oracle": lambda h: h.to_oracle,
    "margin above the row's own oracle": lambda h: h.above_oracle,
}
"""What is to be predicted."""


def _correlation(worlds: list[_World], history: str, proxy: str, steps: str) -> Finding:
    return Finding.of(proxy, [_rank(PROXIES[proxy](w[history]), STEPS[steps](w[history])) for w in worlds])


def _difference(worlds: list[_World], one: str, other: str, value: Callable[[_History], Array]) -> Finding:
    """Return the mean over rows in one history minus that in the other."""
    return Finding.of("", [float(value(w[one]).mean() - value(w[other]).mean()) for w in worlds])


def _between_rows(worlds: list[_World], one: str, other: str) -> Finding:
    """Return the correlation, over rows, of the histories' difference in loss with that in steps to a level."""
    return Finding.of(
        "", [_rank(w[one].loss - w[other].loss, w[one].to_level - w[other].to_level) for w in worlds]
    )  # fmt: skip


def _interval(finding: Finding) -> str:
    if finding.summary is None:
        return "undefined in every world"
    return finding.summary.interval() + (f", {finding.n_without} undefined" if finding.n_without else "")


def _reading(finding: Finding) -> str:
    """Return in a word what the interval says of a correlation."""
    found = finding.summary
    if found is None or abs(found.mean) <= found.half_width:
        return "no clear relation"
    return "rows with more loss take more steps" if found.mean > 0 else "rows with more loss take fewer steps"


def _says(worlds: list[_World], s: dict[str, Any]) -> tuple[str, ...]:
    proxy, (level, oracle, above) = next(iter(PROXIES)), tuple(STEPS)
    to_level = _correlation(worlds, "AB", proxy, level)
    to_oracle = _correlation(worlds, "AB", proxy, oracle)
    loss_change = _difference(worlds, "AB", "BA", lambda h: h.loss)
    step_change = _difference(worlds, "AB", "BA", lambda h: h.to_level)
    agree = sum(
        a * b > 0 for a, b in zip(loss_change.values, step_change.values, strict=True)
    )  # fmt: skip
    forgotten = _difference(worlds, "BA", "B alone", lambda h: h.to_level)
    to_own = _difference(worlds, "BA", "B alone", lambda h: h.to_oracle)
    same = max(float(np.abs(w["B alone"].loss - w["BA"].loss).max()) for w in worlds)
    ratio = Summary.of([float((w["AB"].loss / w["AB"].small).mean()) for w in worlds])
    exact = Summary.of([float((w["AB"].exact_steps / w["AB"].small).mean()) for w in worlds])
    width = Summary.of([float((w["AB"].half_width / w["AB"].loss).mean()) for w in worlds])
    scatter = Summary.of([float(np.median(np.abs(w["AB"].one_run / w["AB"].loss - 1))) for w in worlds])
    return (
        f"Within a history (AB), {_reading(to_level)} to a common level: Spearman {_interval(to_level)} over rows; and "
        f"to the row's own oracle, {_reading(to_oracle)}: {_interval(to_oracle)} (mean and 95 % t interval over "
        f"{len(worlds)} worlds of {s['forget_rows']} rows). With the margin above its oracle, which is what a row "
        f"taught of itself, the loss correlates at {_interval(_correlation(worlds, 'AB', proxy, above))}.",
        f"For recency: from BA to AB the mean loss changes by {_interval(loss_change)} and the steps to the level by "
        f"{_interval(step_change)}; the signs agree in {agree} of {len(worlds)} worlds, and over rows the two changes "
        f"correlate at {_interval(_between_rows(worlds, 'AB', 'BA'))}.",
        f"What happens after the stage it cannot see: the stage A after B changes the steps to the level by "
        f"{_interval(forgotten)}, those to the own oracle by {_interval(to_own)} and the loss by {same:.3g}, "
        f"since steps that cannot draw a row add nothing.",
        f"Step by step the exact loss is {exact.text()} times the small-step value α q² Σ s² / (2σ²); composed over "
        f"noisy runs it is {ratio.text()} times, the price of composing: its Monte-Carlo "
        f"half-width from {s['runs']} runs is {width.text()} of it, and the small-step value of one run, a proxy and "
        f"no bound, is off by {scatter.text()} (median over rows).",
        f"Conditions: logistic loss, unit rows, {s['law']} law, d = {s['dim']}, n = {s['stage_rows']} a stage, "
        f"T = {s['steps']} a stage, q = {s['rate']:g}, σ = {s['noise']:g}, "
        f"η = {s['learning_rate']:g}, "
        f"α = {s['order']}, teachers' agreement {s['agreement']:g}; each row is unlearned alone, steps at "
        f"unit rate by the flow.",
    )


def _numbers(worlds: list[_World]) -> dict[str, Any]:
    return {
        "rank_correlation": {
            history: {p: {t: _correlation(worlds, history, p, t).numbers() for t in STEPS} for p in PROXIES}
            for history in HISTORIES
        },
        "means": {
            history: {
                "loss": Summary.of([float(w[history].loss.mean()) for w in worlds]).numbers(),
                "monte_carlo_half_width": Summary.of([float(w[history].half_width.mean()) for w in worlds]).numbers(),
                "exact_steps": Summary.of([float(w[history].exact_steps.mean()) for w in worlds]).numbers(),
                "small_step": Summary.of([float(w[history].small.mean()) for w in worlds]).numbers(),
                **{t: Summary.of([float(v(w[history]).mean()) for w in worlds]).numbers() for t, v in STEPS.items()},
            }
            for history in HISTORIES
        },
        "loss_AB_minus_BA": _difference(worlds, "AB", "BA", lambda h: h.loss).numbers(),
        "steps_AB_minus_BA": _difference(worlds, "AB", "BA", lambda h: h.to_level).numbers(),
        "steps_BA_minus_B_alone": _difference(worlds, "BA", "B alone", lambda h: h.to_level).numbers(),
        "steps_to_oracle_BA_minus_B_alone": _difference(worlds, "BA", "B alone", lambda h: h.to_oracle).numbers(),
        "rank_correlation_of_differences": _between_rows(worlds, "AB", "BA").numbers(),
    }


def _table(worlds: list[_World], s: dict[str, Any]) -> Table:
    def mean(value: Callable[[_History], Array]) -> Callable[[str], str]:
        return lambda name: Summary.of([float(value(w[name]).mean()) for w in worlds]).interval()

    proxy, (level, oracle, above) = next(iter(PROXIES)), tuple(STEPS)
    return Table.of(
        f"Rows of B by history; mean [95 % t interval] over {len(worlds)} worlds of {s['forget_rows']} rows",
        [
            Column(head="history", text=str),
            Column(head="loss", text=mean(lambda h: h.loss), numeric=True),
            Column(head="Monte-Carlo half-width", text=mean(lambda h: h.half_width), numeric=True),
            Column(head="steps to the level", text=mean(lambda h: h.to_level), numeric=True),
            Column(head="steps to own oracle", text=mean(lambda h: h.to_oracle), numeric=True),
            Column(
                head="Spearman, level",
                text=lambda name: _interval(_correlation(worlds, name, proxy, level)),
                numeric=True,
            ),
            Column(
                head="Spearman, oracle",
                text=lambda name: _interval(_correlation(worlds, name, proxy, oracle)),
                numeric=True,
            ),
            Column(
                head="Spearman, margin above oracle",
                text=lambda name: _interval(_correlation(worlds, name, proxy, above)),
                numeric=True,
            ),
        ],
        HISTORIES,
    )


def _figure(world: _World, s: dict[str, Any]) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import Entry
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import line_panel

    series = series_of([("AB", "B last (AB)"), ("BA", "B first (BA)"), ("B alone", "B first, before A")])
    panels = []
    for key, title, value in (
        ("level", "Steps to a common level", STEPS["steps to a common level"]),
        ("oracle", "Steps to the row's own oracle", STEPS["steps to the row's own oracle"]),
        ("above", "Margin above the row's own oracle", STEPS["margin above the row's own oracle"]),
    ):
        rows = [
            {"series": name, "x": float(world[name].loss[i]), "y": float(value(world[name])[i])}
            for name in HISTORIES
            for i in np.argsort(world[name].loss)
        ]
        chart = line_panel(
            pd.DataFrame(rows), series, title=title, x_title="Rényi privacy loss of the row",
            y_title="margin" if key == "above" else "ascent steps at unit rate", arrows=True, joined=False,
        )  # fmt: skip
        panels.append(to_svg(chart, name=f"privacy-{key}", label=f"{title} against the privacy loss of each row."))
    records = [(name, i) for name in HISTORIES for i in np.argsort(world[name].loss)]
    return Figure(
        name="theory-privacy",
        title="Privacy loss of a row and the steps that forget it",
        panels=tuple(panels),
        legend=tuple(Entry(label=one.label, mark="point", colour=one.colour, shape=one.shape) for one in series),
        caption=(
            f"One world (seed {s['seed']}); each point is one of {s['forget_rows']} rows of B; "
            f"D_{s['order']} bound over {s['runs']} noisy runs, steps are medians over these runs. 'B "
            f"first' before and after A has the same losses."
        ),
        table=Table.of(
            f"Rows of B in the world of seed {s['seed']}",
            [
                Column(head="history, row", text=lambda r: f"{r[0]}, {r[1]}"),
                Column(head="loss", text=lambda r: f"{world[r[0]].loss[r[1]]:.3g}", numeric=True),
                Column(head="95 % ±", text=lambda r: f"{world[r[0]].half_width[r[1]]:.2g}", numeric=True),
                Column(head="steps to the level", text=lambda r: f"{world[r[0]].to_level[r[1]]:.3g}", numeric=True),
                Column(head="steps to own oracle", text=lambda r: f"{world[r[0]].to_oracle[r[1]]:.3g}", numeric=True),
            ],
            records,
        ),
    )
