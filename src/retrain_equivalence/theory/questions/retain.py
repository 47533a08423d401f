"""A retain term beside ascent: when does it stop the expansion, and at which weights?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.finding import Finding
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.retain_run import retain_run
from retrain_equivalence.theory.retain_term import RetainTerm, Window
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.summary import Summary
from retrain_equivalence.theory.world import LinearWorld, WorldShape, draw_world

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 1e3, 1e6)
"""λ in tables."""
DRAWN = tuple(2.0 ** (i / 2) for i in range(-4, 14))
"""λ in the figure."""
LEAST_DRAWN = -2.6
"""Eigenvalue at the lower end of the figure."""
RUN_STEPS = 60
"""Of the explicit runs that the rates are measured in."""
ORDERS = ((0, 1), (1, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """One world's forget and retain rows."""

    term: RetainTerm
    tops: Array
    """Largest eigenvalue of M_U − λM_R at WEIGHTS."""
    bottoms: Array
    """Smallest eigenvalue at WEIGHTS."""
    weight_run: float
    """λ of the explicit run: half the lower edge, or 1 if that is smaller."""
    slope_error: float
    """Largest distance of measured and predicted local slope in the explicit run, nats per step."""
    last_slope: float
    """Measured, at the end of the explicit run."""

    @property
    def threshold(self) -> float | None:
        """λ_lo, None if there is none."""
        found = self.term.threshold
        return found if isinstance(found, float) else None

    @property
    def is_limit_kept(self) -> bool:
        """Whether the top eigenvalue stays at or above its limit at every weight tried, up to rounding."""
        return bool((self.tops >= self.term.limit_eigenvalue * (1 - 1e-6) - 1e-12).all())


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "isotropic",
    learning_rate: float = 1.0,
    dim: int = 200,
    nested_dim: int = 50,
    forget_rows: int = 20,
    penalty: float = 0.1,
) -> Answer:
    """Compare generic worlds, with fewer retain rows than dimensions, and worlds whose retain rows span everything.

    Args:
        seeds: how many worlds of each kind.
        seed: of the first.
        law: of the inputs: isotropic, power-law or half-shared.
        learning_rate: η.
        dim: d of the generic worlds; the spans do not nest above the number of retain rows.
        nested_dim: d of the nested worlds; the spans nest up to the number of retain rows.
        forget_rows: k, the first rows of stage B, which has 60; the retain rows are all others of 120.
        penalty: μ of every stage.

    Raises:
        InputError: E-DATA-102, -103, -106 or -108 for options that make no world.
    """
    positive(seeds, "seeds")
    rule, found_law = ProximalRidge(penalty=penalty), law_named(law)
    shapes = [WorldShape(law=found_law, dim=d, forget=(0, forget_rows), rule=rule) for d in (dim, nested_dim)]
    generic, nested = (
        [_examine(draw_world(shape, number), learning_rate) for number in range(seed, seed + seeds)] for shape in shapes
    )
    settings = {
        "seeds": seeds, "seed": seed, "law": law, "learning_rate": learning_rate, "dim": dim, "nested_dim": nested_dim,
        "forget_rows": forget_rows, "retain_rows": sum(shapes[0].stage_rows) - forget_rows, "penalty": penalty,
        "weights": list(WEIGHTS), "run_steps": RUN_STEPS,
    }  # fmt: skip
    return Answer(
        name="retain",
        title="Ascent with a retain term",
        question="Can a retain term stop ascent from driving two training orders apart?",
        says=_says(generic, nested, settings),
        settings=settings,
        numbers={"generic": _numbers(generic), "nested": _numbers(nested)},
        tables=(_edges_table(generic, nested, settings), _weights_table(generic, nested, settings)),
        draw=lambda: (_figure(generic, nested, settings),),
    )


def _examine(world: LinearWorld, learning_rate: float) -> _World:
    rows = [
        (s, sorted(set(range(len(s.targets))) - set(f))) for s, f in zip(world.stages, world.forget_rows, strict=True)
    ]
    retain_inputs = np.concatenate([stage.inputs[kept] for stage, kept in rows])
    retain_targets = np.concatenate([stage.targets[kept] for stage, kept in rows])
    term = RetainTerm(
        forget_inputs=world.forget_inputs, retain_inputs=retain_inputs, learning_rate=learning_rate
    )  # fmt: skip
    edges = [(modes.top, modes.bottom) for modes in map(term.modes, WEIGHTS)]
    weight = min(1.0, term.lower_edge / 2)
    thetas = np.stack([world.trained(order) for order in ORDERS])
    path = retain_run(term, weight, world.forget_targets, retain_targets, thetas, n_steps=RUN_STEPS)
    deltas: Array = path[:, 0] - path[:, 1]
    modes = term.modes(weight)
    logs = np.log(np.linalg.norm(modes.coordinates(deltas), axis=1))
    measured = (logs[2:] - logs[:-2]) / 2
    predicted = modes.factors.slopes(modes.coordinates(deltas[:1]), range(1, RUN_STEPS))[0]
    return _World(
        term=term,
        # Rounding of an exact zero would read as an eigenvalue.
        tops=np.array([top if abs(top) > 1e-12 else 0.0 for top, _ in edges]),
        bottoms=np.array([bottom if abs(bottom) > 1e-12 else 0.0 for _, bottom in edges]),
        weight_run=weight,
        slope_error=float(np.abs(measured - predicted).max()),
        last_slope=float(measured[-1]),
    )


def _says(generic: Sequence[_World], nested: Sequence[_World], settings: dict[str, Any]) -> tuple[str, ...]:
    found = []
    is_same = settings["dim"] == settings["nested_dim"]
    # Equal dimensions draw equal worlds: each counts once.
    groups = [(settings["dim"], generic)] if is_same else [(settings["dim"], generic), (settings["nested_dim"], nested)]
    everything = [world for _, worlds in groups for world in worlds]
    seen = [w for w in everything if w.term.is_nested]
    unseen = [w for w in everything if not w.term.is_nested]
    counts = ", ".join(f"{sum(w.term.is_nested for w in worlds)} of {len(worlds)} for d = {d}" for d, worlds in groups)
    described = (
        f"law {settings['law']}, k = {settings['forget_rows']}, {settings['retain_rows']} retain rows, "
        f"η = {settings['learning_rate']:g}, common retain batches, squared loss"
    )
    if seen and unseen:
        found.append(
            f"Only if the forget rows lie in the span of the retain rows. They do in {len(seen)} of {len(everything)} "
            f"worlds ({counts}), and there a threshold exists; in the other {len(unseen)} no weight λ bounds the "
            f"difference ({described})."
        )
    elif unseen:
        found.append(
            f"Not in these worlds: in none of {len(everything)} do the forget rows lie in the span of the retain rows "
            f"({counts}), and then no weight λ bounds the difference ({described})."
        )
    else:
        found.append(
            f"Its weight has a threshold in every world here: in all {len(everything)} the forget rows lie in the span "
            f"of the retain rows ({counts}); no world shows what happens otherwise ({described})."
        )
    if unseen:
        at_zero = Summary.of([float(w.tops[0]) for w in unseen])
        limit = Summary.of([w.term.limit_eigenvalue for w in unseen])
        found.append(
            f"Without a threshold, the largest eigenvalue of M_U − λM_R goes from {at_zero.text()} at λ = 0 to a "
            f"limit of {limit.text()} for λ → ∞, the largest of M_U on the kernel of X_R, and is nowhere below it, up "
            f"to rounding, at {len(WEIGHTS)} weights up to {WEIGHTS[-1]:g} in {sum(w.is_limit_kept for w in unseen)} "
            f"of {len(unseen)} worlds: exponential growth of at least "
            f"{Summary.of([w.term.limit_rate for w in unseen]).text()} nats per step remains, however large the retain "
            f"weight."
        )
    if seen:
        n_empty = sum(w.term.window is Window.EMPTY for w in seen)
        found.append(
            f"Where the spans nest, the threshold is λ_lo = {_text(seen, lambda w: w.threshold)}, and the lower edge, "
            f"above which a retain mode overshoots, λ_hi = {_text(seen, lambda w: w.term.lower_edge)}: the window of "
            f"weights that bound every mode is empty in {n_empty} of {len(seen)} worlds."
        )
        found.append(_step_size_says(seen, n_empty))
    found.append(
        f"In explicit runs of {RUN_STEPS} steps at λ = {_text(everything, lambda w: w.weight_run)}, the measured local "
        f"slope differs from the predicted one of the mode mixture by at most "
        f"{max(w.slope_error for w in everything):.1g} nats per step ({len(everything)} worlds)."
    )
    found.append(
        f"The estimate 2 / (η λ_max(H_R)), which needs only the retain rows, is {_text(everything, _estimate_share)} "
        f"of the lower edge."
    )
    return tuple(found)


def _step_size_says(nested: Sequence[_World], n_empty: int) -> str:
    """Say which step sizes leave a window, from the worlds in which one can close."""
    edges = [edge for w in nested if (edge := _number(w.term.largest_learning_rate)) is not None]
    if not edges:
        return "The window is open at every step size: λ_lo H_R = H_U in every world."
    highest = Summary.of(edges).text()
    never = len(nested) - len(edges)
    rest = f"; in {never} of {len(nested)} worlds no step size closes it" if never else ""
    if n_empty:
        return f"A smaller step opens it: the window is not empty iff η is at most {highest}{rest}."
    return f"At this step size every window is open; one closes only where η exceeds {highest}{rest}."


def _estimate_share(world: _World) -> float:
    return world.term.lower_edge_estimate / world.term.lower_edge


def _number(value: object) -> float | None:
    return value if isinstance(value, float) and np.isfinite(value) else None


def _text(worlds: Sequence[_World], value: Callable[[_World], float | None]) -> str:
    return Finding.of("", [value(world) for world in worlds]).text()


def _numbers(worlds: Sequence[_World]) -> dict[str, Any]:
    quantities: dict[str, Callable[[_World], float | None]] = {
        "limit_eigenvalue": lambda w: w.term.limit_eigenvalue,
        "limit_rate": lambda w: w.term.limit_rate,
        "threshold": lambda w: w.threshold,
        "lower_edge": lambda w: w.term.lower_edge,
        "lower_edge_estimate": lambda w: w.term.lower_edge_estimate,
        "largest_learning_rate": lambda w: _number(w.term.largest_learning_rate),
        "weight_of_the_run": lambda w: w.weight_run,
        "last_slope_of_the_run": lambda w: w.last_slope,
    }
    return {
        "worlds": len(worlds),
        "worlds_nested": sum(w.term.is_nested for w in worlds),
        "worlds_above_their_limit_at_every_weight": sum(w.is_limit_kept for w in worlds),
        "windows": {window.name.lower(): sum(w.term.window is window for w in worlds) for window in Window},
        **{name: Finding.of(name, map(value, worlds)).numbers() for name, value in quantities.items()},
        "largest_slope_error": max(w.slope_error for w in worlds),
        "top_eigenvalue_at_weights": [Summary.of([float(w.tops[i]) for w in worlds]).numbers() for i in _indices()],
        "bottom_eigenvalue_at_weights": [
            Summary.of([float(w.bottoms[i]) for w in worlds]).numbers() for i in _indices()
        ],
    }


def _indices() -> range:
    return range(len(WEIGHTS))


def _edges_table(generic: Sequence[_World], nested: Sequence[_World], settings: dict[str, Any]) -> Table:
    quantities: list[tuple[str, Callable[[_World], float | None]]] = [
        ("largest eigenvalue of M_U", lambda w: float(w.tops[0])),
        ("its limit for λ → ∞", lambda w: w.term.limit_eigenvalue),
        ("threshold λ_lo", lambda w: w.threshold),
        ("lower edge λ_hi", lambda w: w.term.lower_edge),
        ("largest η with a window", lambda w: _number(w.term.largest_learning_rate)),
    ]
    columns = [Column(head="quantity", text=lambda row: row[0])]
    for head, worlds in ((f"d = {settings['dim']}", generic), (f"d = {settings['nested_dim']}", nested)):
        columns.append(Column(head=head, text=lambda row, worlds=worlds: _text(worlds, row[1]), numeric=True))  # type: ignore[misc]
    return Table.of(
        f"Edges of the retain weight, η = {settings['learning_rate']:g}; median (range) over {len(generic)} worlds",
        columns,
        quantities,
    )


def _weights_table(generic: Sequence[_World], nested: Sequence[_World], settings: dict[str, Any]) -> Table:
    columns = [Column(head="λ", text=lambda i: f"{WEIGHTS[i]:g}", numeric=True)]
    for d, worlds in ((settings["dim"], generic), (settings["nested_dim"], nested)):
        for edge, value in (("largest", lambda w, i: float(w.tops[i])), ("smallest", lambda w, i: float(w.bottoms[i]))):
            text = lambda i, worlds=worlds, value=value: Summary.of([value(w, i) for w in worlds]).text()  # noqa: E731
            columns.append(Column(head=f"{edge}, d = {d}", text=text, numeric=True))
    return Table.of(
        f"Eigenvalues of M_U − λM_R; every mode is bounded iff they lie in [−2, 0]; median (range) over {len(generic)} "
        f"worlds",
        columns,
        list(_indices()),
    )


def _kind(worlds: Sequence[_World]) -> str:
    n_nested = sum(w.term.is_nested for w in worlds)
    if n_nested in (0, len(worlds)):
        return "spans nest" if n_nested else "spans do not nest"
    return f"spans nest in {n_nested} of {len(worlds)} worlds"


def _figure(generic: Sequence[_World], nested: Sequence[_World], settings: dict[str, Any]) -> Figure:
    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import Entry, of_series
    from retrain_equivalence.figures.palette import MARGIN, series_of
    from retrain_equivalence.figures.panel import Band, line_panel

    looks = series_of(
        [("top", "largest eigenvalue"), ("limit", "limit of the largest for λ → ∞"), ("bottom", "smallest eigenvalue")]
    )
    panels = []
    for name, d, worlds in (("generic", settings["dim"], generic), ("nested", settings["nested_dim"], nested)):
        rows: list[dict[str, Any]] = []
        for weight in DRAWN:
            modes = [w.term.modes(weight) for w in worlds]
            for series, values in (
                ("top", [m.top for m in modes]),
                ("limit", [w.term.limit_eigenvalue for w in worlds]),
                ("bottom", [m.bottom for m in modes]),
            ):
                one = Summary.of(values)
                if one.low > LEAST_DRAWN:
                    row = {"series": series, "x": float(np.log10(weight))}
                    rows.append({**row, **one.band()})
        chart = line_panel(
            pd.DataFrame(rows), looks, title=f"d = {d}: {_kind(worlds)}",
            x_title="log10 of the retain weight λ", y_title="eigenvalue of M_U − λM_R", y_domain=(LEAST_DRAWN, 0.6),
            bands=[Band(value=0.0, colour=MARGIN.light), Band(value=-2.0, colour=MARGIN.light)],
        )  # fmt: skip
        panels.append(
            to_svg(chart, name=f"theory-retain-{name}", label=f"Edges of the spectrum against λ, d = {d}.")
        )  # fmt: skip
    return Figure(
        name="theory-retain",
        title="Which retain weights bound the difference",
        panels=tuple(panels),
        legend=of_series(
            looks, [Entry(label="edges: bounded between 0 and −2", mark="rule", colour=MARGIN.light, dash=(5, 3))]
        ),
        caption=(
            f"Extreme eigenvalues of M_U − λM_R against λ. A mode with eigenvalue e is multiplied by 1 + e per step. "
            f"Lines are medians, bands ranges over {len(generic)} worlds a panel (law {settings['law']}, "
            f"k = {settings['forget_rows']}, {settings['retain_rows']} retain rows, "
            f"η = {settings['learning_rate']:g}). Nothing is drawn where a world lies below {LEAST_DRAWN:g}."
        ),
        table=_weights_table(generic, nested, settings),
    )
