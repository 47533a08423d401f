"""What does the theorem say in the paper's own world, and what is true there?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.inputs import LAWS, InputLaw
from retrain_equivalence.theory.scaling import ForgetSet, Setting, Training, choice_named
from retrain_equivalence.theory.two_orders import TwoOrders, order_names
from retrain_equivalence.theory.world import stage_name

AFTER = 200
"""Steps after max(t0, 0) at which the bound is compared with the true gap; from there on the gap only grows faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderLaw:
    """All worlds of one law."""

    law: InputLaw
    worlds: tuple[TwoOrders, ...]

    def finding(self, label: str, value: Callable[[TwoOrders], float | None]) -> Finding:
        """Collect one quantity."""
        return Finding.of(label, (value(world) for world in self.worlds))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A law under which the forget rows are linearly dependent: the theorem does not speak of it."""

    law: InputLaw
    why: str


STEPS: dict[str, tuple[str, Callable[[TwoOrders], float | None]]] = {
    "t0": ("t0 as printed", lambda w: None if w.bound.is_vacuous else w.bound.start),
    "t0_tight": ("tight t0", lambda w: None if w.bound.is_vacuous else w.bound.start_tight),
    "t0_modes": ("first step of the proof's condition", lambda w: w.bound.t0_modes),
    "for_good": ("first step from which the bound holds", lambda w: w.for_good),
    "t_star": ("Corollary 1's t*", lambda w: w.corollary.step if w.corollary else None),
    "t_star_tolerance": (
        "its tolerance term alone",
        lambda w: max(w.corollary.from_tolerance, 0.0) if w.corollary else None,
    ),
    "first_common": ("first t with d > 4ε", lambda w: w.first_common().step),
    "first_own": ("first t, own oracles", lambda w: w.first_own().step),
}
"""Steps, by their name in `numbers`: how a table calls them, and where they come from."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    learning_rate: float = 1.0,
    epsilon: float = 0.05,
    dim: int = 200,
    forget_rows: int = 20,
    test_rows: int = 60,
    penalty: float = 0.1,
    stage_rows: int = 60,
    rule: str = "ridge",
    train_steps: int = 200,
    forget: str = "part",
    stages: int = 2,
) -> Answer:
    """Answer for every law of the inputs, over worlds `seed` to `seed + seeds - 1`.

    A law under which the forget rows are linearly dependent is named and left out.

    Args:
        seeds: worlds per law.
        seed: of the first.
        learning_rate: η of the ascent.
        epsilon: ε as a share of the oracles' mean squared prediction.
        dim: d.
        forget_rows: k; not used where the forget set is whole.
        test_rows: m.
        penalty: μ of every stage; of ridge only.
        stage_rows: n of every stage; more than d for an over-determined one.
        rule: how stages are trained: ridge, gradient or converged.
        train_steps: of the gradient rule.
        forget: part (first rows of the last stage), whole (all of it) or several (first rows of every stage).
        stages: how many; their order A, B, ... is compared with its reverse.

    Raises:
        InputError: for sizes that make no world or no law with independent forget rows, an unknown rule or forget set,
            or a step size, penalty or tolerance that is not above 0.
    """
    positive(seeds, "seeds")
    positive(stage_rows, "stage_rows")
    setting = Setting(
        learning_rate=learning_rate, penalty=penalty, forget_rows=forget_rows, dim=dim, test_rows=test_rows,
        stage_rows=stage_rows, stages=stages, training=choice_named(Training, rule, "rule"), train_steps=train_steps,
        forget=choice_named(ForgetSet, forget, "forget set"),
    )  # fmt: skip
    laws, left_out = _drawn(setting, range(seed, seed + seeds), epsilon)
    names = order_names(stages)
    steps = {under.law.name: {key: under.finding(*STEPS[key]) for key in STEPS} for under in laws}
    histories = {under.law.name: [_history(under, at) for at in range(2)] for under in laws}
    loose = {under.law.name: _looseness(under) for under in laws}
    return Answer(
        name="linear",
        title="The theorem in the paper's world, and the truth beside it",
        question="From which step does Theorem 3.1 say that two orders part, and when do they?",
        says=_says(laws, left_out, steps, histories, loose, setting=setting, epsilon=epsilon),
        settings={
            "seeds": seeds, "seed": seed, "learning_rate": learning_rate, "epsilon": epsilon, "dim": dim,
            "forget_rows": sum(setting.shape().forget), "stage_rows": stage_rows, "test_rows": test_rows,
            "penalty": penalty, "stages": stages, "rule": _rule_text(setting), "forget_set": _forget_text(setting),
            "laws": [under.law.name for under in laws],
            "unit": "mean squared prediction of the two oracles on the test rows",
        },
        numbers={
            **{out.law.name: {"outcomes": {out.why: seeds}} for out in left_out},
            **{under.law.name: {
                "outcomes": _counts(under),
                "steps": {key: found.numbers() for key, found in steps[under.law.name].items()},
                "histories": {
                    name: {key: found.numbers() for key, found in parts.items()}
                    for name, parts in zip(names, histories[under.law.name], strict=True)
                },
                "looseness": {key: found.numbers() for key, found in loose[under.law.name].items()},
            } for under in laws},
        },
        tables=_tables(laws, steps, histories, loose, seeds, names),
        draw=lambda: (_figure(laws, epsilon, seeds),),
    )  # fmt: skip


Findings = dict[str, Finding]


def _drawn(setting: Setting, seeds: range, epsilon: float) -> tuple[tuple[UnderLaw, ...], tuple[LeftOut, ...]]:
    """Draw every law's worlds; a law with dependent forget rows is left out.

    Raises:
        InputError: E-DATA-107 if no law is left.
    """
    laws: list[UnderLaw] = []
    left_out: list[LeftOut] = []
    refused: InputError | None = None
    for law in LAWS:
        under = replace(setting, law=law)
        worlds = tuple(
            TwoOrders(world=under.world(seed), learning_rate=setting.learning_rate, tolerance_share=epsilon)
            for seed in seeds
        )
        try:
            for world in worlds:
                _ = world.span
        except InputError as error:
            if any(problem.code != "E-DATA-107" for problem in error.problems):
                raise
            refused = error
            seen, k = len(law.window(setting.dim, setting.stages - 1, setting.stages)), sum(under.shape().forget)
            why = f"forget rows are dependent: a stage sees {seen} coordinates, k = {k}"
            left_out.append(LeftOut(law=law, why=why))
        else:
            laws.append(UnderLaw(law=law, worlds=worlds))
    if refused and not laws:
        raise refused
    return tuple(laws), tuple(left_out)


def _rule_text(setting: Setting) -> str:
    return {
        Training.RIDGE: f"proximal ridge with μ = {setting.penalty:g}",
        Training.GRADIENT: f"{setting.train_steps} gradient steps of one over the largest curvature of any stage",
        Training.CONVERGED: "descent to convergence, the nearest least-squares solution",
    }[setting.training]


def _forget_text(setting: Setting) -> str:
    last = stage_name(setting.stages - 1)
    return {
        ForgetSet.PART: f"the first {setting.forget_rows} rows of stage {last}",
        ForgetSet.WHOLE: f"all {setting.stage_rows} rows of stage {last}",
        ForgetSet.SEVERAL: f"the first {' + '.join(map(str, setting.shape().forget))} rows of the stages",
    }[setting.forget]


def _history(under: UnderLaw, at: int) -> Findings:
    """Return what one order reaches against its own oracle, as shares of the signal.

    Steps and what they reach exist only where training left a residual on the forget rows.
    """

    def of_path(label: str, value: Callable[[TwoOrders], float]) -> Finding:
        return under.finding(label, lambda w: None if w.fitted[at] else value(w))

    def of_both(label: str, value: Callable[[TwoOrders], float]) -> Finding:
        return under.finding(label, lambda w: None if any(w.fitted) else value(w))

    return {
        "start": under.finding("before", lambda w: w.stopping.best[at].at_start / w.signal),
        "best": of_path("at its best step", lambda w: w.stopping.best[at].value / w.signal),
        "universal": of_both("at one step for both", lambda w: w.stopping.universal[at] / w.signal),
        "floor": under.finding("floor", lambda w: w.floors[at].value / w.signal),
        "best_step": of_path("best t", lambda w: w.stopping.best[at].step),
        "universal_step": of_both("one t for both", lambda w: w.stopping.universal_step),
    }


def _looseness(under: UnderLaw) -> Findings:
    def above(world: TwoOrders, lead: int) -> float | None:
        if world.bound.is_vacuous:
            return None
        steps = range(world.bound.start + lead, world.bound.start + lead + 1)
        return float((world.log_gaps(steps) - world.bound.log_at(steps))[0]) / log(10)

    def least(world: TwoOrders) -> float | None:
        if world.bound.is_vacuous:
            return None
        steps = range(world.bound.start, world.bound.start + AFTER + 1)
        return float((world.log_gaps(steps) - world.bound.log_at(steps)).min()) / log(10)

    return {
        "at_t0": under.finding("log10 of d / bound at t0", lambda w: above(w, 0)),
        "later": under.finding(f"log10 of d / bound at t0 + {AFTER}", lambda w: above(w, AFTER)),
        "least": under.finding("its least value after t0", least),
        "mean_rate": under.finding("mean rate ρ*", lambda w: None if w.bound.is_vacuous else w.bound.rho),
        "fastest_rate": under.finding("largest rate x_1", lambda w: w.bound.fastest_rate),
    }


def _counts(under: UnderLaw) -> dict[str, int]:
    found: dict[str, int] = {}
    for world in under.worlds:
        found[world.bound.outcome.value] = found.get(world.bound.outcome.value, 0) + 1
    return found


def _says(
    laws: Sequence[UnderLaw],
    left_out: Sequence[LeftOut],
    steps: dict[str, Findings],
    histories: dict[str, list[Findings]],
    loose: dict[str, Findings],
    *,
    setting: Setting,
    epsilon: float,
) -> tuple[str, ...]:
    def by_law(text: Callable[[str], str]) -> str:
        return "; ".join(f"{under.law.name} {text(under.law.name)}" for under in laws)

    n, names = len(laws[0].worlds), order_names(setting.stages)
    worlds = [world for under in laws for world in under.worlds]
    bounded = [world for world in worlds if not world.bound.is_vacuous]
    said = [
        f"The two orders are more than 4ε apart, so that no common oracle serves both, first at step "
        f"{by_law(lambda law: steps[law]['first_common'].text())} (medians and ranges over {n} worlds a law; "
        f"ε = {epsilon:.3g} of the mean squared prediction; the gap need not grow at once).",
        f"With each order's own oracle the gap alone forces a violation, first at step "
        f"{by_law(lambda law: steps[law]['first_own'].text())}.",
    ]
    if bounded:
        common, own = (
            sum(w.is_before_corollary(first) for first, w in firsts)
            for firsts in (
                [(w.first_common(), w) for w in bounded],
                [(w.first_own(), w) for w in bounded],
            )
        )
        binding = sum(world.corollary is not None and world.corollary.is_t0_binding for world in bounded)
        held = sum(v >= -1e-9 for under in laws for v in loose[under.law.name]["least"].values)
        at_once = sum(world.for_good == 0 for world in bounded)
        said += [
            f"Corollary 1 says so at t*, {by_law(lambda law: steps[law]['t_star'].text())}: after the first of these "
            f"steps in {common} of {len(bounded)} worlds, after the second in {own}. t0 is "
            f"{by_law(lambda law: steps[law]['t0'].text())}; with ‖X_test(I − P)Δ_0‖ in place of C_0 it is "
            f"{by_law(lambda law: steps[law]['t0_tight'].text())}. t* = max(t0, 1) in {binding} of {len(bounded)} "
            f"worlds{'' if binding == len(bounded) else '; in the others the tolerance decides'}.",
            f"The bound held in {held} of {len(bounded)} worlds at every step from max(t0, 0) to {AFTER} later, and in "
            f"{at_once} of them from step 0; at max(t0, 0) the true gap is 10 to the power "
            f"{by_law(lambda law: loose[law]['at_t0'].text(2))} times the bound, {AFTER} steps later "
            f"{by_law(lambda law: loose[law]['later'].text(2))}.",
        ]
    if len(bounded) < len(worlds):
        outcomes = sorted({world.bound.outcome.value for world in worlds if world.bound.is_vacuous})
        said.append(
            f"The bound says nothing in {len(worlds) - len(bounded)} of {len(worlds)} worlds: {'; '.join(outcomes)}."
        )
    said += [f"Left out, {out.law.name} inputs: {out.why}." for out in left_out]
    fitted = sum(sum(world.fitted) for world in worlds)
    if fitted:
        said.append(
            f"Training fits the forget rows to rounding in {fitted} of {2 * len(worlds)} histories: there ascent has "
            f"nothing to raise, and no stopping step is given."
        )
    stopped = sum(not any(world.fitted) for world in worlds)
    differ = sum(
        world.stopping.best[0].step != world.stopping.best[1].step for world in worlds if not any(world.fitted)
    )
    floors = sum(world.positive_floors for world in worlds)
    said += [
        f"The floor holds at every t, 0 included, and for every local loss: it is positive for "
        f"{floors} of {2 * len(worlds)} histories; as a share of the mean squared prediction, "
        + by_law(
            lambda law: " and ".join(
                f"{parts['floor'].text(2)} ({name})" for name, parts in zip(names, histories[law], strict=True)
            )
        )
        + ".",
        "The best step of ascent is "
        + by_law(
            lambda law: " and ".join(
                f"{parts['best_step'].text()} ({name})" for name, parts in zip(names, histories[law], strict=True)
            )
        )
        + "; one step for both is "
        + by_law(lambda law: histories[law][0]["universal_step"].text())
        + (f"; the two orders' own differ in {differ} of {stopped} worlds." if stopped else "."),
        f"Conditions: squared loss, full-batch ascent with η = {setting.learning_rate:g} on the same rows, "
        f"{setting.stages} stages of {setting.stage_rows} rows by {_rule_text(setting)}, forget set "
        f"{_forget_text(setting)}; inputs scaled to E‖x‖² = 1.",
    ]
    return tuple(said)


def _tables(
    laws: Sequence[UnderLaw],
    steps: dict[str, Findings],
    histories: dict[str, list[Findings]],
    loose: dict[str, Findings],
    seeds: int,
    orders: tuple[str, str],
) -> tuple[Table, ...]:
    names = [under.law.name for under in laws]
    what = f"median (range) over {seeds} worlds a law"

    def columns(first: str, cell: Callable[[str, Any], str]) -> list[Column]:
        return [
            Column(head=first, text=lambda row: str(row[1])),
            *(Column(head=name, text=lambda row, name=name: cell(name, row[0]), numeric=True) for name in names),  # type: ignore[misc]
        ]

    reached = [
        ((at, key), f"{orders[at]}: {histories[names[0]][at][key].label}")
        for at in range(2)
        for key in histories[names[0]][at]
        if not (at and key == "universal_step")
    ]
    return (
        Table.of(
            f"Steps; {what}",
            columns("step", lambda law, key: steps[law][key].text()),
            [(k, v[0]) for k, v in STEPS.items()],
        ),
        Table.of(
            f"RE distance to the own oracle as a share of the mean squared prediction, and steps; {what}",
            columns("history", lambda law, key: histories[law][key[0]][key[1]].text()),
            reached,
        ),
        Table.of(
            f"How loose the bound is; {what}",
            columns("quantity", lambda law, key: loose[law][key].text()),
            [(key, found.label) for key, found in loose[names[0]].items()],
        ),
    )


def _figure(laws: Sequence[UnderLaw], epsilon: float, seeds: int) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import Entry, of_series
    from retrain_equivalence.figures.palette import ORACLE, series_of
    from retrain_equivalence.figures.panel import Band, line_panel

    series = series_of(
        [("gap", "true d(t) between the two orders"), ("bound", "the theorem's bound, from median t0 on")]
    )
    panels, listed = [], []
    for under in laws:
        starts = [world.bound.start for world in under.worlds if not world.bound.is_vacuous]
        last = max(int(np.median(starts) * 1.5) if starts else 0, 20)
        steps = range(0, last + 1, max(1, last // 60))
        rows: list[dict[str, Any]] = []
        bounded = [world for world in under.worlds if not world.bound.is_vacuous]
        curves = [("gap", [world.log_gaps(steps) - log(world.signal) for world in under.worlds], 0)]
        if bounded:
            bounds = [world.bound.log_at(steps) - log(world.signal) for world in bounded]
            curves.append(("bound", bounds, int(np.median(starts))))
        for name, logs, begin in curves:
            shares: Array = np.stack(logs) / log(10)
            rows += [
                {
                    "law": under.law.name, "series": name, "x": t, "y": 10 ** float(np.median(shares[:, i])),
                    "low": 10 ** float(shares[:, i].min()), "high": 10 ** float(shares[:, i].max()),
                }
                for i, t in enumerate(steps)
                if t >= begin
            ]  # fmt: skip
        listed += rows
        chart = line_panel(
            pd.DataFrame(rows), series, title=under.law.name, x_title="steps of ascent t",
            y_title="d(t) / mean squared prediction", bands=(Band(value=4 * epsilon),), log=True,
        )  # fmt: skip
        label = f"{under.law.name}: true gap and bound over {last} steps of ascent."
        panels.append(to_svg(chart, name=f"linear-{under.law.name.replace(' ', '-')}", label=label))
    columns = [
        Column(head="law", text=lambda row: row["law"]),
        Column(head="curve", text=lambda row: row["series"]),
        Column(head="t", text=lambda row: str(row["x"]), numeric=True),
        *(
            Column(head=head, text=lambda row, key=key: f"{row[key]:.3g}", numeric=True)  # type: ignore[misc]
            for head, key in (("median", "y"), ("least", "low"), ("largest", "high"))
        ),
    ]
    return Figure(
        name="theory-linear",
        title="The true gap between two orders, and the theorem's bound on it",
        panels=tuple(panels),
        legend=of_series(
            series, [Entry(label=f"4ε, ε = {epsilon:g} of the signal", mark="rule", colour=ORACLE.light, dash=(5, 3))]
        ),
        caption=(
            f"RE distance between the two orders as a share of the oracles' mean squared prediction, against steps "
            f"of ascent. Lines are medians, bands the range over {seeds} worlds per law. The bound is drawn from the "
            f"median of max(t0, 0) on: before, the theorem says nothing. Above the dashed line no common reference "
            f"serves both."
        ),
        table=Table.of("The curves", columns, listed),
    )
