"""Does the Lie bracket of two stages tell which order forgets faster?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import positive
from retrain_equivalence.theory.data_ordering import ascent_steps_to_loss
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.label_world import draw_labels
from retrain_equivalence.theory.lie_bracket import RowSet, lie_bracket, loss_score, speed_score
from retrain_equivalence.theory.row_loss import loss_named

STEPS = (1, 5, 20, 100, 500)
"""T of each stage."""
ASCENT_SPLIT = 50
"""The ascent's step is ηT / this, so that about this many undo a stage, whatever T is."""
WITHIN, ELSEWHERE = "rows of the second stage", "rows of a third stage"
"""Where the forget rows lie. Within, recency alone predicts: the order that ends with them forgets slower."""
MOST_ASCENT = 20 * ASCENT_SPLIT
"""Steps after which ascent gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """One pair of stages at one T."""

    reach: float
    """ηTλ, λ the larger of the stages' largest curvatures at the start."""
    error: float
    """‖θ_AB − θ_BA − (ηT)²[A, B]‖ / ‖θ_AB − θ_BA‖."""
    loss_right: bool
    """Whether the sign of L_U(θ_AB) − L_U(θ_BA) is that of its score."""
    speed_right: bool
    """The same of ‖∇L_U‖²."""
    steps_by_speed: bool | None
    """Whether the order with the higher predicted speed needs fewer ascent steps; None if neither does."""
    steps_by_loss: bool | None
    """Whether the order with the higher predicted loss needs fewer."""
    steps_by_recency: bool | None
    """Whether the order AB, B last, needs more: the rule without any score."""


_Worlds: TypeAlias = list[dict[tuple[str, int], list[_Pair]]]
"""Per world, the pairs by where the forget rows lie and T."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    loss: str = "logistic",
    law: str = "isotropic",
    dim: int = 20,
    stages: int = 5,
    stage_rows: int = 60,
    forget_rows: int = 10,
    learning_rate: float = 1.0,
    agreement: float = 0.5,
) -> Answer:
    """Score every pair of stages at the start; train both orders; ascend on rows of the pair's second stage.

    Args:
        seeds: how many worlds.
        seed: of the first.
        loss: of a row: logistic or squared (with the labels ±1 as targets).
        law: of the inputs, by name.
        dim: d.
        stages: how many; each pair is compared. Pairs of one world are averaged, and intervals are over worlds.
        stage_rows: n of each.
        forget_rows: k, the first rows of the pair's second stage.
        learning_rate: η of training.
        agreement: of the stages' teachers, 0 to 1.

    Raises:
        InputError: E-DATA-134 for an unknown loss, E-DATA-136 for too many forget rows or fewer than three stages,
            E-DATA-102 or -103 for other options that make no world.
    """
    positive(seeds, "seeds")
    kind = loss_named(loss)
    if not (0 < forget_rows <= stage_rows and stages >= 3):
        raise InputError.of(
            "E-DATA-136", "forget_rows", f"{forget_rows} of {stage_rows} rows in each of {stages} stages",
            "use at least three stages, and forget between 1 row and all of one",
        )  # fmt: skip
    worlds: _Worlds = []
    for number in range(seed, seed + seeds):
        world = draw_labels(
            number, dim=dim, stage_rows=(stage_rows,) * stages, agreement=agreement, law=law_named(law)
        )  # fmt: skip
        sets = [RowSet(inputs=x, targets=y, loss=kind) for x, y in zip(world.inputs, world.labels, strict=True)]
        worlds.append(
            {
                (where, n): [
                    _pair(sets[a], sets[b], _forget(sets, a, b, where, forget_rows), learning_rate, n)
                    for a, b in combinations(range(stages), 2)
                ]
                for where in (WITHIN, ELSEWHERE)
                for n in STEPS
            }
        )
    settings = {
        "seeds": seeds, "seed": seed, "loss": loss, "law": law, "dim": dim, "stages": stages,
        "stage_rows": stage_rows, "forget_rows": forget_rows, "learning_rate": learning_rate, "agreement": agreement,
        "steps": list(STEPS),
    }  # fmt: skip
    return Answer(
        name="bracket",
        title="The Lie bracket of two stages",
        question="Does a score computed before training tell which order of two stages is forgotten faster?",
        says=_says(worlds, settings),
        settings=settings,
        numbers={
            where: {
                str(n): {name: _of(worlds, where, n, value).numbers() for name, value in MEASURES.items()}
                | {"pairs_without_difference": sum(p.steps_by_speed is None for w in worlds for p in w[where, n])}
                for n in STEPS
            }
            for where in (WITHIN, ELSEWHERE)
        },
        tables=(_table(worlds),),
        draw=lambda: (_figure(worlds, settings),),
    )


def _forget(sets: list[RowSet], a: int, b: int, where: str, k: int) -> RowSet:
    others = [i for i in range(len(sets)) if i not in (a, b)]
    # The third stage is dealt in turn, so that none serves all pairs.
    holder = sets[b] if where == WITHIN else sets[others[(a + b) % len(others)]]
    return RowSet(inputs=holder.inputs[:k], targets=holder.targets[:k], loss=holder.loss)


def _pair(first: RowSet, second: RowSet, forget: RowSet, rate: float, n: int) -> _Pair:
    start = np.zeros(first.inputs.shape[1])
    ends = np.stack(
        [
            then.trained(one.trained(start, learning_rate=rate, n_steps=n), learning_rate=rate, n_steps=n)
            for one, then in ((first, second), (second, first))
        ]
    )
    truth = ends[0] - ends[1]
    predicted = (rate * n) ** 2 * lie_bracket(start, first, second)
    by_loss, by_speed = loss_score(start, first, second, forget), speed_score(start, first, second, forget)
    losses, speeds = forget.value(ends), forget.speed(ends)
    level = max(float(forget.value(start)), float(losses.max()))
    steps, _ = ascent_steps_to_loss(
        ends, forget.inputs, forget.targets, level,
        learning_rate=rate * n / ASCENT_SPLIT, most=MOST_ASCENT, loss=forget.loss,
    )  # fmt: skip
    is_first_faster = None if steps[0] == steps[1] else bool(steps[0] < steps[1])
    return _Pair(
        reach=rate * n * max(_largest_curvature(s, start) for s in (first, second)),
        error=float(np.linalg.norm(truth - predicted) / np.linalg.norm(truth)),
        loss_right=bool((losses[0] - losses[1]) * by_loss > 0),
        speed_right=bool((speeds[0] - speeds[1]) * by_speed > 0),
        steps_by_speed=None if is_first_faster is None else is_first_faster == (by_speed > 0),
        steps_by_loss=None if is_first_faster is None else is_first_faster == (by_loss > 0),
        steps_by_recency=None if is_first_faster is None else not is_first_faster,
    )


def _largest_curvature(rows: RowSet, theta: Any) -> float:
    weights = rows.loss.curvatures(rows.inputs @ theta, rows.targets)
    return float(np.linalg.norm(np.sqrt(weights)[:, None] * rows.inputs, 2) ** 2 / len(rows.targets))


def _share(worlds_pairs: list[_Pair], value: Callable[[_Pair], bool | float | None]) -> float | None:
    found = [float(v) for v in map(value, worlds_pairs) if v is not None]
    return float(np.mean(found)) if found else None


def _of(worlds: _Worlds, where: str, n: int, value: Callable[[_Pair], bool | float | None]) -> Finding:
    return Finding.of(where, [_share(world[where, n], value) for world in worlds])


MEASURES: dict[str, Callable[[_Pair], bool | float | None]] = {
    "reach": lambda p: p.reach,
    "relative_error_of_difference": lambda p: p.error,
    "loss_sign_right": lambda p: p.loss_right,
    "speed_sign_right": lambda p: p.speed_right,
    "faster_order_by_speed_right": lambda p: p.steps_by_speed,
    "faster_order_by_loss_right": lambda p: p.steps_by_loss,
    "faster_order_by_recency_right": lambda p: p.steps_by_recency,
}
"""What is measured of each pair, by its name in the numbers."""


def _interval(finding: Finding) -> str:
    return finding.summary.interval() if finding.summary else "undefined"


def _says(worlds: _Worlds, s: dict[str, Any]) -> tuple[str, ...]:
    first = STEPS[0]

    def mean(where: str, n: int, name: str) -> float:
        summary = _of(worlds, where, n, MEASURES[name]).summary
        return summary.mean if summary else 0.5

    def is_above_chance(n: int) -> bool:
        summary = _of(worlds, ELSEWHERE, n, MEASURES["faster_order_by_speed_right"]).summary
        return summary is not None and summary.mean - summary.half_width > 0.5

    def course(where: str, name: str) -> str:
        return ", ".join(f"{mean(where, n, name):.2f}" for n in STEPS)

    useful = [n for n in STEPS if is_above_chance(n)]
    head = (
        "Yes" if len(useful) == len(STEPS)
        else f"Up to T = {max(useful)} steps of each stage" if useful
        else "Undecided: no interval leaves chance above it"
    )  # fmt: skip
    widest = ", ".join(
        f"{_interval(_of(worlds, ELSEWHERE, n, MEASURES['faster_order_by_speed_right']))} at T = {n}" for n in STEPS
    )
    gain = mean(WITHIN, first, "faster_order_by_loss_right") - mean(WITHIN, first, "faster_order_by_recency_right")
    return (
        f"{head}: for forget rows of a third stage, the order with the higher predicted speed needs fewer ascent steps "
        f"in a share of pairs of {widest} (mean and 95 % t interval over {len(worlds)} worlds of "
        f"{s['stages'] * (s['stages'] - 1) // 2} pairs; .5 is chance); the loss score, which predicts the head start, "
        f"is right in {course(ELSEWHERE, 'faster_order_by_loss_right')}.",
        f"For forget rows of the second stage the speed score is right in "
        f"{course(WITHIN, 'faster_order_by_speed_right')} and the loss score in "
        f"{course(WITHIN, 'faster_order_by_loss_right')}, but recency, a rule that needs no score, in "
        f"{course(WITHIN, 'faster_order_by_recency_right')}: at T = {first} the loss score "
        f"{'adds' if gain > 0 else 'lacks'} {abs(gain):.2f}.",
        f"Of what each score is made for, the signs are right for rows of a third stage in a share of "
        f"{course(ELSEWHERE, 'loss_sign_right')} (loss after training) and "
        f"{course(ELSEWHERE, 'speed_sign_right')} (speed) at T = {', '.join(str(n) for n in STEPS)}.",
        "The bracket explains the difference of the two orders up to a relative error of "
        + ", ".join(
            f"{mean(WITHIN, n, 'relative_error_of_difference'):.2g} (ηTλ = {mean(WITHIN, n, 'reach'):.2g})"
            for n in STEPS
        )
        + ": its size is a statement about small ηTλ; the signs at larger ηTλ are the shares above.",
        f"Conditions: {s['loss']} loss, {s['law']} inputs, d = {s['dim']}, n = {s['stage_rows']} a stage, "
        f"k = {s['forget_rows']}, η = {s['learning_rate']:g}, teachers' agreement {s['agreement']:g}, both orders from "
        f"zero; steps are to the untrained forget loss, or to the higher start if that is higher.",
    )


def _table(worlds: _Worlds) -> Table:
    heads = {
        "reach": "ηTλ",
        "relative_error_of_difference": "relative error",
        "loss_sign_right": "loss sign right",
        "speed_sign_right": "speed sign right",
        "faster_order_by_speed_right": "faster order, by speed",
        "faster_order_by_loss_right": "faster order, by loss",
        "faster_order_by_recency_right": "faster order, by recency",
    }

    def column(name: str) -> Column:
        return Column(
            head=heads[name], text=lambda key: _interval(_of(worlds, key[0], key[1], MEASURES[name])), numeric=True
        )

    return Table.of(
        f"Shares of pairs that the score at the start predicts; mean [95 % t interval] over {len(worlds)} worlds",
        [
            Column(head="forget rows", text=lambda key: str(key[0])),
            Column(head="T of each stage", text=lambda key: str(key[1]), numeric=True),
            *(column(name) for name in heads),
        ],
        [(where, n) for where in (WITHIN, ELSEWHERE) for n in STEPS],
    )


def _figure(worlds: _Worlds, s: dict[str, Any]) -> Figure:
    from math import log10

    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import Band, line_panel

    series = series_of(
        [
            ("loss_sign_right", "sign of the loss after training"),
            ("speed_sign_right", "sign of the speed of ascent"),
            ("faster_order_by_speed_right", "order that forgets faster, by the speed score"),
            ("faster_order_by_loss_right", "order that forgets faster, by the loss score"),
            ("faster_order_by_recency_right", "order that forgets faster, by recency"),
        ]
    )
    panels = []
    for where in (WITHIN, ELSEWHERE):
        rows = []
        for one in series:
            for n in STEPS:
                found = _of(worlds, where, n, MEASURES[one.name]).summary
                reach = _of(worlds, where, n, MEASURES["reach"]).summary
                if found and reach:
                    half = found.half_width if np.isfinite(found.half_width) else 0.0
                    rows.append(
                        {"series": one.name, "x": log10(reach.mean), "y": found.mean,
                         "low": max(found.mean - half, 0.0), "high": min(found.mean + half, 1.0)}
                    )  # fmt: skip
        chart = line_panel(
            pd.DataFrame(rows), series, title=f"Forget rows: {where}", x_title="log10 of ηTλ",
            y_title="share of pairs predicted", y_domain=(0.0, 1.05), bands=[Band(value=0.5)],
        )  # fmt: skip
        name = "within" if where == WITHIN else "elsewhere"
        panels.append(to_svg(chart, name=f"bracket-{name}", label=f"Share of pairs predicted, {where}."))
    return Figure(
        name="theory-bracket",
        title="How far the Lie bracket reaches",
        panels=tuple(panels),
        legend=of_series(series),
        caption=(
            f"Share of pairs of stages whose sign the score at the start predicts, against ηT times the largest "
            f"curvature; {s['loss']} loss. Lines are means, bands 95 % t intervals over {len(worlds)} worlds; the "
            f"dashed line is chance."
        ),
        table=_table(worlds),
    )
