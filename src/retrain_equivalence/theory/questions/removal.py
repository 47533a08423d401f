"""`theory removal`: what escapes the triangle by giving up locality, how exact it is, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.certified_logistic import LIPSCHITZ, PAPER_LIPSCHITZ, LogisticObjective
from retrain_equivalence.theory.certified_ridge import RidgeObjective, proximal_effect, ridge_removal
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.inputs import ISOTROPIC
from retrain_equivalence.theory.label_world import drawn_labels
from retrain_equivalence.theory.later_stages import later_stages_panel
from retrain_equivalence.theory.objective_perturbation import Accounting, classical_limit, residual_budget
from retrain_equivalence.theory.removal_budget import RemovalBudget, removals_before_retraining
from retrain_equivalence.theory.removal_sequence import RemovalSequence, remove_in_turn
from retrain_equivalence.theory.rewinding import rewound
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.staged_removal import records_of, staged_removal
from retrain_equivalence.theory.summary import Summary, band_points
from retrain_equivalence.theory.world import WorldShape, draw_world

TEACHER_NORM = 36.0
"""Of the logistic teacher; with rows of norm up to 1 it makes labels that can be told apart, but not all of them."""
TEST_ROWS = 2_000
OPTIMISER_TOLERANCE = 1e-6
"""Of the first training: visible in the sum, and far below any bound."""
STAGE_DIM, STAGE_ROWS, FORGET_ROWS, PENALTY = 200, 60, 20, 0.1
"""d, n, k and μ of the staged worlds: those of `theory linear`."""

_BOUNDS: tuple[tuple[str, str, Accounting, float], ...] = (
    ("printed: data dependent, γ = 1/4, classical δ", "data_dependent", Accounting.CLASSICAL, PAPER_LIPSCHITZ),
    ("data dependent, γ = 1/4, exact δ", "data_dependent", Accounting.ANALYTIC, PAPER_LIPSCHITZ),
    ("tight, γ = 1/4, exact δ", "tight", Accounting.ANALYTIC, PAPER_LIPSCHITZ),
    ("tight, γ = 1/(6√3), exact δ", "tight", Accounting.ANALYTIC, LIPSCHITZ),
    ("worst case, γ = 1/4, classical δ", "worst_case", Accounting.CLASSICAL, PAPER_LIPSCHITZ),
)
"""Ways to keep the books: words, bound, accounting, γ."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Certified:
    """One data set: ridge and logistic removal from joint training."""

    ridge_error: float
    """‖w⁻ − retrained‖ / ‖retrained‖ after all removals at once."""
    condition: float
    """Of the retained Hessian."""
    sequence: RemovalSequence
    distance: float
    """‖w_T − retrained‖ / ‖retrained‖ after all logistic removals."""
    accuracy: float
    """On fresh rows, with noise in the objective, before any removal."""
    accuracy_without_noise: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Staged:
    """Staged worlds; axis 1 is the number of stages trained after the one with forget rows, from 0."""

    nothing: Array
    """d(θ, own oracle) / signal, shape [worlds, K]."""
    in_stage: Array
    """The same after the step within the stage alone, as though nothing had followed."""
    error: Array
    """‖θ − propagated effect − own oracle‖ / ‖own oracle‖."""
    share: Array
    """Rows that rewinding replays, as a share of retraining."""
    identical: int
    """Histories in which rewinding gave the own oracle bit for bit."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    rows: int = 1000,
    dim: int = 20,
    penalty: float = 1e-3,
    sigma: float = 0.5,
    epsilon: float = 1.0,
    delta: float = 1e-4,
    removals: int = 300,
    stages: int = 4,
) -> Answer:
    """Answer how exact certified removal and rewinding are, and when their budget is spent.

    Args:
        seeds: how many data sets, and how many staged worlds.
        seed: of the first.
        rows: n of joint training.
        dim: d of joint training.
        penalty: λ per row.
        sigma: σ of the noise in the objective, per coordinate.
        epsilon: ε of the certificate.
        delta: δ of the certificate.
        removals: requests, one row each, below n.
        stages: K of the staged worlds.

    Raises:
        InputError: E-DATA-102 for an option that is not positive, E-DATA-108 for fewer than two stages, E-DATA-127 for
            more removals than rows, E-DATA-128 for δ.
    """
    positive(seeds, "seeds")
    if not 1 <= removals < rows:
        raise InputError.of("E-DATA-127", "removals", f"{removals} of {rows} rows", "remove at least one, keep one")
    if stages < 2:
        raise InputError.of("E-DATA-108", "stages", f"expected at least two, found {stages}", "draw two or more stages")
    limits = {kind: residual_budget(sigma, epsilon, delta, accounting=kind) for kind in Accounting}
    certified = [_certify(seed + i, rows, dim, penalty, sigma, removals) for i in range(seeds)]
    staged = _stage(seeds, seed, stages)
    books = _books(certified, limits)
    gaps = {name: _looseness(certified, name) for name in ("tight", "data_dependent", "worst_case")}
    under = {
        name: sum(int((run.sequence.added <= getattr(run.sequence, name)).sum()) for run in certified) for name in gaps
    }
    tables = (_budget_table(books, limits, removals, seeds), _stage_table(staged, seeds))
    settings = {
        "seeds": seeds, "seed": seed, "rows": rows, "dim": dim, "penalty": penalty, "sigma": sigma,
        "epsilon": epsilon, "delta": delta, "removals": removals, "stages": stages, "staged_dim": STAGE_DIM,
        "staged_rows": STAGE_ROWS, "staged_forget_rows": FORGET_ROWS, "staged_penalty": PENALTY,
    }  # fmt: skip
    numbers = {
        "ridge": {
            "relative_error": Summary.of([run.ridge_error for run in certified]).numbers(),
            "condition_number": Summary.of([run.condition for run in certified]).numbers(),
        },
        "logistic": {
            "removals": seeds * removals,
            "removals_under_bound": under,
            "bound_over_truth": {name: found.numbers() for name, found in gaps.items()},
            "final_gradient": Summary.of([run.sequence.measured[-1] for run in certified]).numbers(),
            "final_distance_relative": Summary.of([run.distance for run in certified]).numbers(),
            "accuracy": Summary.of([run.accuracy for run in certified]).numbers(),
            "accuracy_without_noise": Summary.of([run.accuracy_without_noise for run in certified]).numbers(),
        },
        "budget": {kind.value: limit for kind, limit in limits.items()},
        "classical_form_holds_up_to_epsilon": classical_limit(delta),
        "removals_before_retraining": {name: found.numbers() for name, found in books.items()},
        "staged": {
            "re_distance_share_of_signal": [Summary.of(column).numbers() for column in staged.nothing.T],
            "after_the_step_within_the_stage": [Summary.of(column).numbers() for column in staged.in_stage.T],
            "largest_relative_error_of_propagated_removal": float(staged.error.max()),
            "rewinding_rows_share_of_retraining": staged.share.mean(axis=0).tolist(),
            "rewinding_equal_to_own_oracle": staged.identical,
        },
    }
    return Answer(
        name="removal",
        title="What escapes: certified removal and rewinding",
        question="What do methods achieve that may use more than the forget rows, and what do they pay?",
        says=tuple(_sentences(certified, staged, books, limits, under, gaps, settings)),
        settings=settings,
        numbers=numbers,
        tables=tables,
        draw=lambda: (_budget_figure(certified, limits, tables[0]), _stage_figure(staged, tables[1])),
    )


def _certify(seed: int, rows: int, dim: int, penalty: float, sigma: float, removals: int) -> _Certified:
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((rows + TEST_ROWS, dim))
    # Scaled by the training rows' longest: test rows may be a little longer, and no bound speaks of them.
    drawn /= np.linalg.norm(drawn[:rows], axis=1).max()
    teacher = rng.standard_normal(dim)
    scores: Array = drawn @ (teacher * TEACHER_NORM / np.linalg.norm(teacher))
    labels = drawn_labels(rng, scores)
    inputs, noise = drawn[:rows], sigma * rng.standard_normal(dim)
    gone = rng.permutation(rows)[:removals]

    ridge = RidgeObjective(inputs=inputs, targets=scores[:rows] + rng.standard_normal(rows), penalty=penalty)
    retained = ridge.without(gone.tolist())
    retrained = retained.minimum()
    moved = ridge_removal(ridge, ridge.minimum(), gone.tolist())

    noisy = LogisticObjective(inputs=inputs, labels=labels[:rows], penalty=penalty, noise=noise)
    plain = LogisticObjective(inputs=inputs, labels=labels[:rows], penalty=penalty)
    start = noisy.minimum(tolerance=OPTIMISER_TOLERANCE)
    sequence = remove_in_turn(noisy, start, gone.tolist())
    oracle = noisy.without(gone.tolist()).minimum()

    def accuracy(weights: Array) -> float:
        return float((np.sign(drawn[rows:] @ weights) == labels[rows:]).mean())

    return _Certified(
        ridge_error=_relative(moved, retrained),
        condition=float(np.linalg.cond(retained.hessian)),
        sequence=sequence,
        distance=_relative(sequence.weights, oracle),
        accuracy=accuracy(start),
        accuracy_without_noise=accuracy(plain.minimum()),
    )


def _stage(seeds: int, seed: int, stages: int) -> _Staged:
    shape = WorldShape(
        law=ISOTROPIC, dim=STAGE_DIM, stage_rows=(STAGE_ROWS,) * stages,
        forget=(*[0] * (stages - 1), FORGET_ROWS), rule=ProximalRidge(penalty=PENALTY),
    )  # fmt: skip
    nothing, in_stage, error, share = (np.zeros((seeds, stages)) for _ in range(4))
    identical = 0
    for i in range(seeds):
        world = draw_world(shape, seed + i)
        for order in world.forget_at_each_position():
            place = order.index(stages - 1)
            later = stages - 1 - place
            theta, oracle = world.trained(order), world.own_oracle(order)
            records = records_of(world, order)
            signal = np.square(world.test_inputs @ oracle).mean()
            record = records[place]
            # Its state is there: the stage holds forget rows.
            effect = proximal_effect(
                record.retained_inputs, record.forgotten_inputs, record.forgotten_targets,
                world.states(order)[place + 1], penalty=PENALTY,
            )  # fmt: skip
            back = rewound(world, order)
            nothing[i, later] = np.square(world.test_inputs @ (theta - oracle)).mean() / signal
            in_stage[i, later] = np.square(world.test_inputs @ (theta - effect - oracle)).mean() / signal
            error[i, later] = _relative(staged_removal(theta, records, penalty=PENALTY), oracle)
            share[i, later] = back.share
            identical += int(np.array_equal(back.theta, oracle))
    return _Staged(nothing=nothing, in_stage=in_stage, error=error, share=share, identical=identical)


def _relative(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def _books(certified: Sequence[_Certified], limits: dict[Accounting, float]) -> dict[str, Finding]:
    found = {}
    for words, bound, accounting, gamma in _BOUNDS:
        # Every bound is linear in γ.
        counts = [
            removals_before_retraining(
                (getattr(run.sequence, bound) * (gamma / PAPER_LIPSCHITZ)).tolist(),
                RemovalBudget(limit=limits[accounting], optimiser_residual=run.sequence.optimiser_residual),
            )
            for run in certified
        ]
        found[words] = Finding.of(words, counts)
    truth = [np.flatnonzero(run.sequence.measured > limits[Accounting.ANALYTIC]) for run in certified]
    words = "the gradient itself, exact δ"
    found[words] = Finding.of(words, [float(over[0]) if len(over) else None for over in truth])
    return found


def _looseness(certified: Sequence[_Certified], bound: str) -> Summary:
    """Median over removals of bound over truth, summarised over data sets."""
    return Summary.of([float(np.median(getattr(run.sequence, bound) / run.sequence.added)) for run in certified])


def _sentences(
    certified: Sequence[_Certified],
    staged: _Staged,
    books: dict[str, Finding],
    limits: dict[Accounting, float],
    under: dict[str, int],
    gaps: dict[str, Summary],
    settings: dict[str, Any],
) -> list[str]:
    n, seeds, total = settings["removals"], settings["seeds"], settings["seeds"] * settings["removals"]
    worst = max(run.ridge_error for run in certified)
    condition = max(run.condition for run in certified)
    printed, derived = books[_BOUNDS[0][0]], books[_BOUNDS[3][0]]
    accuracy = Summary.of([run.accuracy - run.accuracy_without_noise for run in certified])
    noise = f"{accuracy.interval(2)} (mean, 95 % interval)" if settings["seeds"] > 1 else f"{accuracy.median:.2g}"
    classical, exact = limits[Accounting.CLASSICAL], limits[Accounting.ANALYTIC]
    later = staged.nothing.shape[1] - 1
    last, carried = float(staged.in_stage[:, 0].max()), float(staged.error.max())
    return [
        f"With the retained data there is a way out: one Newton step returns the retrained ridge model to {worst:.2g} "
        f"(relative, worst of {seeds} data sets, {n} of {settings['rows']} rows removed, condition number up to "
        f"{condition:.3g}), the same step carried through later stages the own oracle of a staged history to "
        f"{carried:.2g}, and rewinding returns it bit for bit; none of them is local.",
        f"Logistic removal is not exact: after {n} removals one by one the weights are within "
        f"{Summary.of([run.distance for run in certified]).text()} of retraining (relative, median and range). Of "
        f"{total} removals, {under['data_dependent']} lay under the data-dependent bound, {under['worst_case']} under "
        f"the worst case and {under['tight']} under the tight form of the same argument.",
        f"The bounds are {gaps['tight'].text()}, {gaps['data_dependent'].text()} and {gaps['worst_case'].text()} times "
        "the truth (tight, data dependent, worst case; medians over removals, then median and range over data sets; "
        "γ = 1/4).",
        f"At σ = {settings['sigma']:g}, ε = {settings['epsilon']:g} and δ = {settings['delta']:g} the residuals, the "
        f"optimiser's included, may sum to {classical:.3g} by the printed form and to {exact:.3g} exactly: retrain "
        f"after so many removals: as printed, {_reached(printed, n)}; with the tight bound, the least γ and the exact "
        f"δ, {_reached(derived, n)}. The noise changes accuracy by {noise}.",
        f"The printed δ = 1.5 exp(−c²/2) holds up to ε = {classical_limit(settings['delta']):.3g} at this δ; above it "
        "the same σ leaves more than δ. Both assume requests chosen without sight of "
        "the released weights, and a residual that does not depend on the noise.",
        f"In a staged history the step within the forget stage alone is exact to {last:.1g} of the signal if that "
        f"stage is the last; with {later} stages after it, it ends at {Summary.of(staged.in_stage[:, -1]).text()} of "
        f"the signal from the own oracle, where doing nothing ends at {Summary.of(staged.nothing[:, -1]).text()}. "
        f"Carried through, it is exact in all {staged.nothing.size} histories (largest relative error {carried:.2g}).",
        f"Rewinding gave the own oracle bit for bit in {staged.identical} of {staged.nothing.size} histories, for "
        + ", ".join(f"{value:.0%}" for value in staged.share.mean(axis=0))
        + f" of retraining's rows with 0 to {later} stages after the forget stage.",
    ]


def _reached(found: Finding, most: int) -> str:
    if found.summary is None:
        return f"more than {most}"
    within = found.summary.text()
    return f"{within}; more than {most} in {found.n_without} data sets" if found.n_without else within


def _budget_table(books: dict[str, Finding], limits: dict[Accounting, float], removals: int, seeds: int) -> Table:
    def limit(found: Finding) -> str:
        kind = Accounting.CLASSICAL if found.label.endswith("classical δ") else Accounting.ANALYTIC
        return f"{limits[kind]:.3g}"

    return Table.of(
        f"Removals before retraining, of {removals}; median (range) over {seeds} data sets",
        [
            Column(head="how the books are kept", text=lambda found: found.label),
            Column(head="budget β", text=limit, numeric=True),
            Column(head="removals", text=lambda found: _reached(found, removals), numeric=True),
        ],
        books.values(),
    )


def _stage_table(staged: _Staged, seeds: int) -> Table:
    def cell(values: Array) -> Callable[[int], str]:
        return lambda later: Summary.of(values[:, later]).text()

    return Table.of(
        f"RE distance to the own oracle as a share of the signal; median (range) over {seeds} worlds",
        [
            Column(head="later stages", text=str, numeric=True),
            Column(head="nothing done", text=cell(staged.nothing), numeric=True),
            Column(head="step within the stage only", text=cell(staged.in_stage), numeric=True),
            Column(head="carried through: error in θ", text=cell(staged.error), numeric=True),
            Column(head="rewinding: rows replayed", text=lambda i: f"{staged.share[:, i].mean():.0%}", numeric=True),
        ],
        range(staged.nothing.shape[1]),
    )


def _budget_figure(certified: Sequence[_Certified], limits: dict[Accounting, float], table: Table) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import Entry, of_series
    from retrain_equivalence.figures.palette import MARGIN, series_of
    from retrain_equivalence.figures.panel import Band, line_panel

    lines: dict[str, Array] = {
        "worst case": np.stack([run.sequence.total(run.sequence.worst_case) for run in certified]),
        "data dependent": np.stack([run.sequence.total(run.sequence.data_dependent) for run in certified]),
        "tight, least γ": np.stack(
            [run.sequence.total(run.sequence.tight * (LIPSCHITZ / PAPER_LIPSCHITZ)) for run in certified]
        ),
        "measured": np.stack([run.sequence.measured for run in certified]),
    }
    points = [
        point for name, values in lines.items() for point in band_points(name, range(1, values.shape[1] + 1), values)
    ]
    series = series_of((name, name) for name in lines)
    limit = limits[Accounting.CLASSICAL]
    chart = line_panel(
        pd.DataFrame(points), series, title="Gradient left by removals", x_title="removals since training",
        y_title="norm of the retained gradient, and bounds on it", log=True,
        bands=[Band(value=limit, colour=MARGIN.light)],
    )  # fmt: skip
    last = "; ".join(f"{name}: {np.median(values[:, -1]):.2g}" for name, values in lines.items())
    label = f"Gradient after the last removal, medians: {last}; budget {limit:.2g}"
    entry = Entry(label="budget, classical form: retrain above it", mark="rule", colour=MARGIN.light, dash=(5, 3))
    return Figure(
        name="theory-removal-budget",
        title="Removals until the budget is spent",
        panels=(to_svg(chart, name="theory-removal-budget", label=label),),
        legend=of_series(series, [entry]),
        caption=f"Logistic regression, one row removed at a time. Lines: medians over {len(certified)} data sets; "
        "bands: smallest to largest. Bounds are sums over the removals so far, with the optimiser's residual.",
        table=table,
    )


def _stage_figure(staged: _Staged, table: Table) -> Figure:
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of

    distances = {"nothing done": staged.nothing, "step within the stage only": staged.in_stage}
    costs = {"rewinding": staged.share}
    series = series_of((name, name) for name in (*distances, *costs))
    panels = [
        later_stages_panel(lines, series, title=title, y_title=y_title, name=f"theory-removal-staged-{name}")
        for lines, title, y_title, name in (
            (distances, "Distance to the own oracle", "RE distance, share of the signal", "distance"),
            (costs, "What rewinding costs", "rows replayed, share of retraining", "cost"),
        )
    ]
    return Figure(
        name="theory-removal-staged",
        title="Removal from a staged history",
        panels=tuple(panels),
        legend=of_series(series),
        caption=f"Lines: medians over {len(staged.nothing)} worlds; bands: smallest to largest. Carried through the "
        f"later stages, the same step has an error in θ of at most {staged.error.max():.1g}; rewinding has none.",
        table=table,
    )
