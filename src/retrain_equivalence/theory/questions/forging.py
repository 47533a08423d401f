"""Can other data give the same weights, and how does that stand to other weights from the same data?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.forging import (
    Forgery,
    best_of_errors,
    forge_best_of,
    forge_substitute,
    reproduction_errors,
)
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.row_loss import RowLoss, loss_named
from retrain_equivalence.theory.summary import Summary
from retrain_equivalence.theory.training_log import TrainingLog, replay, train_logged
from retrain_equivalence.theory.world import WorldShape, draw_world

SHORTER = (1, 10, 100)
"""Numbers of candidates shown beside the full one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    loss: RowLoss
    shape: WorldShape
    batch_size: int
    epochs: int
    learning_rate: float
    ascent_rate: float
    ascent_steps: int
    candidates: int

    @property
    def draws(self) -> tuple[int, ...]:
        return (*(m for m in SHORTER if m < self.candidates), self.candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """One world: errors per way of forging and epoch, and what two orders do."""

    errors: dict[str, Array]
    """Largest error of each epoch of the forgotten rows' stage, shape [epochs]."""
    relative: dict[str, float]
    """Median over the forged steps of the error, as a share of the step's length."""
    drift: dict[str, float]
    """‖w_T − replay of the forged batches‖ without correction."""
    forged_steps: int
    gaps: Array
    """‖θ_AB − θ_BA‖ after 0 .. ascent_steps steps of ascent on the forgotten rows."""
    test_gap: float
    """√d of the two orders before unlearning."""
    test_drift: float
    """√d of the log's end and the replay of the batches substituted by gradient."""
    ways: tuple[str, ...] = field(default=())


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    loss: str = "squared",
    law: str = "isotropic",
    dim: int = 20,
    stage_rows: int = 200,
    forget_rows: int = 1,
    batch_size: int = 20,
    epochs: int = 10,
    learning_rate: float = 1.0,
    candidates: int = 1000,
    ascent_rate: float = 0.1,
    ascent_steps: int = 60,
) -> Answer:
    """Forge the log of stages A then B without some rows of B; set beside it the gap of the orders AB and BA.

    Args:
        seeds: how many worlds.
        seed: of the first.
        loss: of a row: squared or logistic (labels are then the signs of the targets).
        law: of the inputs, by name.
        dim: d.
        stage_rows: n of each of two stages.
        forget_rows: the first rows of B, to be denied and to be unlearned.
        batch_size: b.
        epochs: of each stage.
        learning_rate: η of training.
        candidates: M, the largest number of random batches per step.
        ascent_rate: η of the ascent on the forgotten rows.
        ascent_steps: how many, at the fixed step size.

    Raises:
        InputError: E-DATA-134 for an unknown loss, E-DATA-135 for too few rows, E-DATA-102, -103, -105 or -108 for
            other options that make no world.
    """
    positive(seeds, "seeds")
    positive(ascent_steps, "ascent_steps")
    shape = WorldShape(law=law_named(law), dim=dim, stage_rows=(stage_rows, stage_rows), forget=(0, forget_rows))
    setting = _Setting(
        loss=loss_named(loss), shape=shape, batch_size=batch_size, epochs=epochs, learning_rate=learning_rate,
        ascent_rate=positive(ascent_rate, "ascent_rate"), ascent_steps=ascent_steps, candidates=candidates,
    )  # fmt: skip
    worlds = [_one_world(setting, number) for number in range(seed, seed + seeds)]
    settings = {
        "seeds": seeds, "seed": seed, "loss": loss, "law": law, "dim": dim, "stage_rows": stage_rows,
        "forget_rows": forget_rows, "batch_size": batch_size, "epochs": epochs, "learning_rate": learning_rate,
        "candidates": candidates, "ascent_rate": ascent_rate, "ascent_steps": ascent_steps,
        "test_rows": shape.test_rows, "noise": shape.noise,
    }  # fmt: skip
    return Answer(
        name="forging",
        title="Forging: other data, the same weights",
        question="How well can a training log be explained without the forgotten rows, and how does that stand to what "
        "the order of the same rows does?",
        says=_says(worlds, setting),
        settings=settings,
        numbers=_numbers(worlds, setting),
        tables=(_table(worlds, setting),),
        draw=lambda: (_figure(worlds, setting),),
    )


def _one_world(setting: _Setting, seed: int) -> _World:
    world = draw_world(setting.shape, seed)
    n = setting.shape.stage_rows[0]
    inputs = np.concatenate([s.inputs for s in world.stages])
    targets = np.concatenate([s.targets for s in world.stages])
    if setting.loss is RowLoss.LOGISTIC:
        targets = np.where(targets < 0, -1.0, 1.0)
    removed = [n + row for row in world.forget_rows[1]]
    logs = [
        train_logged(
            inputs, targets, np.repeat([0, 1], n).tolist(), order, n_epochs=setting.epochs,
            batch_size=setting.batch_size, learning_rate=setting.learning_rate, seed=seed, loss=setting.loss,
        )
        for order in ((0, 1), (1, 0))
    ]  # fmt: skip
    log = logs[0]
    best = forge_best_of(log, removed, n_candidates=setting.candidates, seed=seed)
    substitutes = {
        "nearest input": forge_substitute(log, removed, nearest="input"),
        "nearest gradient": forge_substitute(log, removed, nearest="gradient"),
    }
    by_draws = best_of_errors(log, removed, n_candidates=setting.candidates, seed=seed)
    errors = {f"best of {m}": by_draws[:, m - 1] for m in setting.draws}
    errors |= {name: forgery.errors for name, forgery in substitutes.items()}
    errors["repeated in float32"] = reproduction_errors(log, seed=seed, steps=best.steps, precision=np.float32)
    errors["repeated in float64"] = reproduction_errors(log, seed=seed, steps=best.steps)
    forgeries: dict[str, Forgery] = {f"best of {setting.candidates}": best, **substitutes}
    ends = {name: replay(log, forgery.batches)[-1] for name, forgery in forgeries.items()}
    gap = logs[0].states[-1] - logs[1].states[-1]
    return _World(
        errors={name: _per_epoch(log, best, found, setting.epochs) for name, found in errors.items()},
        relative={name: float(np.median(found / best.lengths)) for name, found in errors.items()},
        drift={name: float(np.linalg.norm(end - log.states[-1])) for name, end in ends.items()},
        forged_steps=len(best.steps),
        gaps=_ascent_gaps(logs, inputs[removed], targets[removed], setting),
        test_gap=float(np.sqrt(((world.test_inputs @ gap) ** 2).mean())),
        test_drift=float(np.sqrt(((world.test_inputs @ (ends["nearest gradient"] - log.states[-1])) ** 2).mean())),
        ways=tuple(errors),
    )


def _per_epoch(log: TrainingLog, best: Forgery, found: Array, epochs: int) -> Array:
    half = len(log.batches) // 2
    epoch = (best.steps - half) // (half // epochs)
    return np.array([found[epoch == e].max(initial=0.0) for e in range(epochs)])


def _ascent_gaps(logs: list[TrainingLog], inputs: Array, targets: Array, setting: _Setting) -> Array:
    states = np.stack([log.states[-1] for log in logs])
    gaps = np.empty(setting.ascent_steps + 1)
    for t in range(setting.ascent_steps + 1):
        gaps[t] = np.linalg.norm(states[0] - states[1])
        states = states + setting.ascent_rate * setting.loss.mean_gradient(states, inputs, targets)
    return gaps


def _overall(worlds: list[_World], name: str) -> Summary:
    """Summarise the tolerance that a verifier would need: the largest error of the log."""
    return Summary.of([float(w.errors[name].max()) for w in worlds])


def _says(worlds: list[_World], setting: _Setting) -> tuple[str, ...]:
    most = f"best of {setting.candidates}"
    names = list(worlds[0].ways)
    forged = [name for name in names if not name.startswith("repeated")]
    easiest = min(forged, key=lambda name: _overall(worlds, name).median)
    honest = _overall(worlds, "repeated in float32")
    ratio = Summary.of([float(w.errors[easiest].max() / w.errors["repeated in float32"].max()) for w in worlds])
    start, end = Summary.of([float(w.gaps[0]) for w in worlds]), Summary.of([float(w.gaps[-1]) for w in worlds])
    drift = Summary.of([w.drift["nearest gradient"] for w in worlds])
    first = _overall(worlds, "best of 1")
    steps = Summary.of([float(w.forged_steps) for w in worlds])
    share = Summary.of([w.relative[easiest] for w in worlds])
    gain = Summary.of([float(w.errors["best of 1"].max() / w.errors[most].max()) for w in worlds])
    detected = sum(float(w.errors[easiest].max()) > float(w.errors["repeated in float32"].max()) for w in worlds)
    return (
        f"{'Nearly' if ratio.median > 1 else 'Within rounding'}: {easiest} explains every logged step without the "
        f"{setting.shape.forget[1]} forgotten row(s) up to an L2 error of {_overall(worlds, easiest).text()} in the "
        f"weights ({share.text()} of the step's length), but an honest repetition in float32 errs by "
        f"{honest.text()}: the forgery is {ratio.text()} times worse, and lies above the reproduction error in "
        f"{detected} of {len(worlds)} worlds (median and range of the largest error in a log of which {steps.text()} "
        f"steps are forged).",
        f"Drawing more candidates {'helps slowly' if gain.median < setting.candidates**0.5 else 'helps'}: the error "
        f"goes from {first.text()} with one random batch to {_overall(worlds, most).text()} with the {most}, a factor "
        f"{gain.text()} for {setting.candidates} times the work; the nearest input of the same class errs by "
        f"{_overall(worlds, 'nearest input').text()}.",
        f"Run without correction from the first weight, the batches substituted by gradient end "
        f"{drift.text()} from the logged weights.",
        f"The other way round, the same rows in the two orders end {start.text()} apart, which is "
        f"{Summary.of([float(w.gaps[0]) / w.drift['nearest gradient'] for w in worlds]).text()} times that drift, and "
        f"{end.text()} apart after {setting.ascent_steps} steps of ascent on the forgotten rows.",
        f"Conditions: {len(worlds)} worlds, {setting.loss} loss, {setting.shape.law.name} inputs, "
        f"d = {setting.shape.dim}, two stages of {setting.shape.stage_rows[0]} rows, batches of {setting.batch_size}, "
        f"{setting.epochs} epochs each, η = {setting.learning_rate:g}; each forged step starts at the logged weight.",
    )


def _numbers(worlds: list[_World], setting: _Setting) -> dict[str, Any]:
    return {
        "largest_error": {name: _overall(worlds, name).numbers() for name in worlds[0].ways},
        "error_as_share_of_step": {
            name: Summary.of([w.relative[name] for w in worlds]).numbers() for name in worlds[0].ways
        },
        "drift_without_correction": {
            name: Summary.of([w.drift[name] for w in worlds]).numbers() for name in worlds[0].drift
        },
        "forged_steps": Summary.of([float(w.forged_steps) for w in worlds]).numbers(),
        "order_gap_before_ascent": Summary.of([float(w.gaps[0]) for w in worlds]).numbers(),
        "order_gap_after_ascent": Summary.of([float(w.gaps[-1]) for w in worlds]).numbers(),
        "root_re_distance_of_orders": Summary.of([w.test_gap for w in worlds]).numbers(),
        "root_re_distance_of_forged_replay": Summary.of([w.test_drift for w in worlds]).numbers(),
        "largest_error_of_each_world": {name: [float(w.errors[name].max()) for w in worlds] for name in worlds[0].ways},
        "candidates_shown": list(setting.draws),
    }


def _table(worlds: list[_World], setting: _Setting) -> Table:
    return Table.of(
        f"Error per forged step in the weights (L2), largest of each log, and as a share of the step's length; median "
        f"(range) over {len(worlds)} worlds",
        [
            Column(head="how the step is explained", text=lambda name: str(name)),
            Column(head="largest error", text=lambda name: _overall(worlds, name).text(), numeric=True),
            Column(
                head="share of the step",
                text=lambda name: Summary.of([w.relative[name] for w in worlds]).text(),
                numeric=True,
            ),
            Column(
                head="drift without correction",
                text=lambda name: Summary.of([w.drift[name] for w in worlds]).text() if name in worlds[0].drift else "",
                numeric=True,
            ),
        ],
        worlds[0].ways,
    )


def _figure(worlds: list[_World], setting: _Setting) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import common_domain, line_panel

    most = f"best of {setting.candidates}"
    left = ("best of 1", most, "nearest input", "nearest gradient", "repeated in float32", "repeated in float64")
    shown = [name for name in dict.fromkeys(left) if name in worlds[0].ways]
    gap = "two orders of the same rows"
    series = series_of([*((name, name) for name in shown), (gap, gap)])
    errors = [
        _point(name, e + 1, [float(w.errors[name][e]) for w in worlds]) for name in shown for e in range(setting.epochs)
    ]
    gaps = [_point(gap, t, [float(w.gaps[t]) for w in worlds]) for t in range(setting.ascent_steps + 1)]
    domain = common_domain([row[key] for row in (*errors, *gaps) for key in ("low", "high")], log=True)
    panels = (
        to_svg(
            line_panel(
                pd.DataFrame(errors), series, title="Many to one: other rows, the same step",
                x_title="epoch of the forgotten rows' stage", y_title="L2 distance of weights", y_domain=domain,
                log=True,
            ),
            name="forging-many-to-one",
            label="Error of forged and of honestly repeated steps against the epoch.",
        ),
        to_svg(
            line_panel(
                pd.DataFrame(gaps), series, title="One to many: the same rows, other weights",
                x_title="steps of ascent on the forgotten rows", y_title="L2 distance of weights", y_domain=domain,
                log=True,
            ),
            name="forging-one-to-many",
            label="Distance of the two orders against steps of ascent.",
        ),
    )  # fmt: skip
    return Figure(
        name="theory-forging",
        title="Many to one, and one to many",
        panels=panels,
        legend=of_series(series),
        caption=(
            f"L2 distances in weight space on one axis, {setting.loss} loss. Left: largest error of a step within each "
            f"epoch of stage B, forged without {setting.shape.forget[1]} row(s) of B, each from the logged weight; and "
            f"honest repetitions. Right: ‖θ_AB − θ_BA‖ under ascent with η = {setting.ascent_rate:g}. Lines are "
            f"medians, bands ranges over {len(worlds)} worlds; repetitions without any error "
            f"are left out of the logarithmic axis."
        ),
        table=_table(worlds, setting),
    )


def _point(name: str, x: int, values: list[float]) -> dict[str, Any]:
    return {"series": name, "x": x, **Summary.of(values).band()}
