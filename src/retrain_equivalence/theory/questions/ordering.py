"""What does an attack on the order of the training rows do to the model, and to unlearning afterwards?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.data_ordering import ATTACKS, Attack, accuracy, ascent_steps_to_loss, train_attacked
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.label_world import draw_labels
from retrain_equivalence.theory.row_loss import RowLoss
from retrain_equivalence.theory.summary import Summary

OTHER_SEED = 1_000_003
"""Added to a seed for the second random order, which measures what order does by chance."""
ROOM = 0.1
"""Nats above the highest loss at the start: the common level at which every history is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One attack in one world."""

    accuracy: float
    start: float
    """Mean loss of the forget rows before unlearning, nats."""
    steps: float | None
    """Of ascent to the common level; None if not reached."""
    gap_before: float
    """Mean squared difference of predicted probabilities to the random order, before unlearning."""
    gap_after: float | None
    """The same at the common level."""
    place: float
    """Mean place of the forget rows in the last epoch, 0 first to 1 last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    runs: tuple[_Run, ...]
    """Of ATTACKS, in order."""
    chance_before: float
    """`gap_before` of a second random order."""
    chance_after: float | None
    oracle: float
    """Mean loss of the forget rows under the random order trained without them, nats."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "isotropic",
    dim: int = 20,
    rows: int = 400,
    forget_rows: int = 20,
    batch_size: int = 20,
    epochs: int = 10,
    learning_rate: float = 20.0,
    small_share: float = 0.1,
    ascent_rate: float = 1.0,
    ascent_steps: int = 2000,
    black_box: bool = False,
) -> Answer:
    """Train logistic regression under each policy, then unlearn the first rows by ascent to a common loss.

    Args:
        seeds: how many worlds.
        seed: of the first.
        law: of the inputs, by name.
        dim: d.
        rows: n.
        forget_rows: k, the first ones.
        batch_size: b.
        epochs: of training, all attacked.
        learning_rate: η of training.
        small_share: the attack is repeated with this share of η and 1 / share times the epochs: is it the step size?
        ascent_rate: η of the ascent.
        ascent_steps: after how many to give up.
        black_box: whether the surrogate starts from weights of its own; otherwise the model ranks for itself.

    Raises:
        InputError: E-DATA-102 or -103 for options that make no world, E-DATA-136 for forget rows that leave none.
    """
    positive(seeds, "seeds")
    _check(rows, forget_rows, small_share)
    settings: dict[str, Any] = {
        "seeds": seeds, "seed": seed, "law": law_named(law).name, "dim": dim, "rows": rows, "forget_rows": forget_rows,
        "batch_size": batch_size, "epochs": epochs, "learning_rate": learning_rate, "small_share": small_share,
        "ascent_rate": ascent_rate, "ascent_steps": ascent_steps, "black_box": black_box,
    }  # fmt: skip
    numbers = range(seed, seed + seeds)
    worlds = [_one_world(number, settings) for number in numbers]
    small = [_small(number, settings) for number in numbers]
    return Answer(
        name="ordering",
        title="Data-ordering attacks",
        question="What does an adversarial order of the same rows do to accuracy, and to the later unlearning?",
        says=_says(worlds, small, settings),
        settings=settings,
        numbers=_numbers(worlds, small),
        tables=(_table(worlds, settings),),
        draw=lambda: (_figure(worlds, settings),),
    )


def _check(rows: int, forget_rows: int, small_share: float) -> None:
    positive(small_share, "small_share")
    if not 0 < forget_rows < rows:
        raise InputError.of(
            "E-DATA-136", "forget_rows", f"{forget_rows} of {rows}", "forget at least one row, and leave at least one"
        )


def _one_world(number: int, s: dict[str, Any]) -> _World:
    loss = RowLoss.LOGISTIC
    world = draw_labels(number, dim=s["dim"], stage_rows=(s["rows"],), law=law_named(s["law"]))
    inputs, labels = world.inputs[0], world.labels[0]
    k = s["forget_rows"]
    surrogate = np.random.default_rng([number, 1]).standard_normal(s["dim"]) if s["black_box"] else None

    def train(attack: Attack, first: int, seed: int) -> tuple[Array, float]:
        run = train_attacked(
            inputs[first:], labels[first:], attack, n_epochs=s["epochs"], batch_size=s["batch_size"],
            learning_rate=s["learning_rate"], seed=seed, surrogate_start=surrogate,
        )  # fmt: skip
        served = np.flatnonzero(run.last_order < k) / max(len(run.last_order) - 1, 1)
        return run.theta, float(served.mean())

    trained = [train(attack, 0, number) for attack in ATTACKS]
    thetas = np.stack([*(theta for theta, _ in trained), train(ATTACKS[0], 0, number + OTHER_SEED)[0]])
    forget, wanted = inputs[:k], labels[:k]
    starts = loss.mean_loss(thetas, forget, wanted)
    oracle = float(loss.mean_loss(train(ATTACKS[0], k, number)[0], forget, wanted))
    steps, ends = ascent_steps_to_loss(
        thetas, forget, wanted, max(oracle, float(starts.max())) + ROOM,
        learning_rate=s["ascent_rate"], most=s["ascent_steps"],
    )  # fmt: skip
    before, after = (special.expit(states @ world.test_inputs.T) for states in (thetas, ends))
    gaps = [((p - p[0]) ** 2).mean(axis=1) for p in (before, after)]
    is_known = np.isfinite(steps) & np.isfinite(steps[0])
    runs = tuple(
        _Run(
            accuracy=accuracy(thetas[i], world.test_inputs, world.test_labels),
            start=float(starts[i]),
            steps=float(steps[i]) if np.isfinite(steps[i]) else None,
            gap_before=float(gaps[0][i]),
            gap_after=float(gaps[1][i]) if is_known[i] else None,
            place=place,
        )
        for i, (_, place) in enumerate(trained)
    )
    return _World(
        runs=runs,
        chance_before=float(gaps[0][-1]),
        chance_after=float(gaps[1][-1]) if is_known[-1] else None,
        oracle=oracle,
    )


def _small(number: int, s: dict[str, Any]) -> list[float]:
    """Return each attack's change of accuracy with a small step size and as many more epochs."""
    world = draw_labels(number, dim=s["dim"], stage_rows=(s["rows"],), law=law_named(s["law"]))
    found = [
        accuracy(
            train_attacked(
                world.inputs[0], world.labels[0], attack, n_epochs=round(s["epochs"] / s["small_share"]),
                batch_size=s["batch_size"], learning_rate=s["learning_rate"] * s["small_share"], seed=number,
            ).theta,
            world.test_inputs, world.test_labels,
        )
        for attack in ATTACKS
    ]  # fmt: skip
    return [value - found[0] for value in found]


def _of(worlds: list[_World], i: int, value: Callable[[_World, _Run], float | None]) -> Finding:
    return Finding.of(ATTACKS[i].label, [value(w, w.runs[i]) for w in worlds])


def _accuracy_change(w: _World, run: _Run) -> float:
    return 100 * (run.accuracy - w.runs[0].accuracy)


def _steps_ratio(w: _World, run: _Run) -> float | None:
    base = w.runs[0].steps
    return run.steps / base if run.steps is not None and base else None


def _gap_before(w: _World, run: _Run) -> float | None:
    return run.gap_before / w.chance_before if w.chance_before > 0 else None


def _gap_after(w: _World, run: _Run) -> float | None:
    return run.gap_after / w.chance_after if run.gap_after is not None and w.chance_after else None


def _interval(finding: Finding, digits: int = 3) -> str:
    if finding.summary is None:
        return "in no world"
    return finding.summary.interval(digits) + (f", {finding.n_without} without" if finding.n_without else "")


def _reach(*ratios: Finding) -> str:
    is_clear = any(r.summary and abs(r.summary.mean - 1) > r.summary.half_width for r in ratios)
    return "It reaches the later unlearning too" if is_clear else "On the later unlearning no effect is clear"


def _mean(finding: Finding) -> float:
    return finding.summary.mean if finding.summary else 0.0


def _says(worlds: list[_World], small: list[list[float]], s: dict[str, Any]) -> tuple[str, ...]:
    attacks = range(1, len(ATTACKS))
    change = {i: _of(worlds, i, _accuracy_change) for i in attacks}
    ratio = {i: _of(worlds, i, _steps_ratio) for i in attacks}
    worst = min(attacks, key=lambda i: _mean(change[i]))
    reached = [i for i in attacks if ratio[i].summary]
    said = [
        f"'{ATTACKS[worst].label}' changes test accuracy most: by {_interval(change[worst])} percentage points from "
        f"{100 * Summary.of([w.runs[0].accuracy for w in worlds]).mean:.3g} % in random order (mean and 95 % t "
        f"interval over {len(worlds)} worlds, paired)."
    ]
    if reached:
        fast = min(reached, key=lambda i: _mean(ratio[i]))
        slow = max(reached, key=lambda i: _mean(ratio[i]))
        said.append(
            f"{_reach(ratio[fast], ratio[slow])}: to one common forget loss, a model trained '{ATTACKS[fast].label}' "
            f"needs {_interval(ratio[fast])} times the ascent steps of random order, one trained "
            f"'{ATTACKS[slow].label}' {_interval(ratio[slow])} times."
        )
        before, after = _of(worlds, worst, _gap_before), _of(worlds, worst, _gap_after)
        said.append(
            f"At equal forgetting the attack's mark remains: predictions of '{ATTACKS[worst].label}' differ from "
            f"random order by {after.text()} times what two random orders differ by; before unlearning it was "
            f"{before.text()} (squared, median and range)."
            if after.summary and before.summary and after.summary.median > 1
            else f"At equal forgetting the predictions of '{ATTACKS[worst].label}' differ from random order by "
            f"{after.text()} times what two random orders differ by, after {before.text()} before unlearning (squared, "
            f"median and range)."
        )
    least = min(attacks, key=lambda i: float(np.mean([row[i] for row in small])))
    said.append(
        f"It is a matter of step size: with {s['small_share']:g} times the step and as many more epochs, the largest "
        f"loss of accuracy is {Summary.of([100 * row[least] for row in small]).interval()} points "
        f"('{ATTACKS[least].label}')."
        if abs(float(np.mean([row[least] for row in small]))) * 100 < abs(_mean(change[worst]))
        else f"A smaller step does not cure it: with {s['small_share']:g} times the step the change is "
        f"{Summary.of([100 * row[least] for row in small]).interval()} points ('{ATTACKS[least].label}')."
    )
    said.append(
        f"Conditions: logistic regression, {s['law']} inputs, d = {s['dim']}, n = {s['rows']}, k = {s['forget_rows']}, "
        f"batches of {s['batch_size']}, {s['epochs']} epochs, η = {s['learning_rate']:g}; ranked by "
        f"{'a surrogate that trains along' if s['black_box'] else 'the model itself'}; the common level is "
        f"{ROOM:g} nats above the highest start. Intervals are not adjusted for eight attacks."
    )
    return tuple(said)


def _numbers(worlds: list[_World], small: list[list[float]]) -> dict[str, Any]:
    return {
        "attacks": {
            ATTACKS[i].label: {
                "accuracy": _of(worlds, i, lambda w, r: r.accuracy).numbers(),
                "accuracy_change_points": _of(worlds, i, _accuracy_change).numbers(),
                "accuracy_change_points_small_step": Summary.of([100 * row[i] for row in small]).numbers(),
                "forget_loss_before": _of(worlds, i, lambda w, r: r.start).numbers(),
                "steps_to_common_level": _of(worlds, i, lambda w, r: r.steps).numbers(),
                "steps_over_random_order": _of(worlds, i, _steps_ratio).numbers(),
                "gap_over_chance_before": _of(worlds, i, _gap_before).numbers(),
                "gap_over_chance_at_equal_forgetting": _of(worlds, i, _gap_after).numbers(),
                "mean_place_of_forget_rows": _of(worlds, i, lambda w, r: r.place).numbers(),
            }
            for i in range(len(ATTACKS))
        },
        "forget_loss_of_oracle": Summary.of([w.oracle for w in worlds]).numbers(),
    }


def _table(worlds: list[_World], s: dict[str, Any]) -> Table:
    def column(head: str, value: Callable[[_World, _Run], float | None]) -> Column:
        return Column(head=head, text=lambda i: _interval(_of(worlds, i, value)), numeric=True)

    return Table.of(
        f"Orders of the same rows; mean [95 % t interval] over {len(worlds)} worlds, η = {s['learning_rate']:g}",
        [
            Column(head="order", text=lambda i: ATTACKS[i].label),
            column("accuracy %", lambda w, r: 100 * r.accuracy),
            column("change, points", _accuracy_change),
            column("forget loss, nats", lambda w, r: r.start),
            column("steps / random", _steps_ratio),
            column("gap / chance before", _gap_before),
            column("gap / chance, equal forgetting", _gap_after),
        ],
        range(len(ATTACKS)),
    )


def _figure(worlds: list[_World], s: dict[str, Any]) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.forest import forest_panel

    panels = []
    for key, title, x_title, random, value in (
        ("accuracy", "Change of test accuracy", "percentage points", 0.0, _accuracy_change),
        ("steps", "Ascent steps to a common forget loss", "times the random order", 1.0, _steps_ratio),
    ):
        rows = []
        for i, attack in enumerate(ATTACKS[1:], start=1):
            found = _of(worlds, i, value).summary
            if found:
                # One world has no interval: then no bar is drawn.
                half = found.half_width if np.isfinite(found.half_width) else float("nan")
                rows.append((attack.label, found.mean, found.mean - half, found.mean + half, ""))
        frame = pd.DataFrame(rows, columns=["label", "estimate", "low", "high", "verdict"])
        panels.append(
            to_svg(
                forest_panel(frame, title=title, x_title=x_title, nothing=random),
                name=f"ordering-{key}",
                label=f"{title} under each attack, against the random order.",
            )
        )
    return Figure(
        name="theory-ordering",
        title="What an adversarial order does",
        panels=tuple(panels),
        caption=(
            f"Logistic regression, η = {s['learning_rate']:g}, against the random order of the same world; means and "
            f"95 % t intervals over {len(worlds)} worlds; the vertical line is the random order."
        ),
        table=_table(worlds, s),
    )
