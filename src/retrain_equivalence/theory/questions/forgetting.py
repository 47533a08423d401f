"""`theory forgetting`: what later stages leave of the forget rows, and what it takes to subtract it exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.inputs import LAWS, InputLaw, law_named
from retrain_equivalence.theory.later_stages import later_stages_panel
from retrain_equivalence.theory.natural_forgetting import effects, removed
from retrain_equivalence.theory.stage import ProximalRidge
from retrain_equivalence.theory.summary import Summary
from retrain_equivalence.theory.world import WorldShape, draw_world


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Positions:
    """One law over worlds; axis 1 is the number of stages trained after the forget stage, from 0."""

    law: InputLaw
    born: Array
    """‖u_p‖, shape [worlds, K]."""
    left: Array
    """‖δ_p‖."""
    distance: Array
    """d(θ_p, r)."""
    removal_error: Array
    """‖θ_p − δ_p − r‖ / ‖r‖."""

    @property
    def kept(self) -> Array:
        """‖δ_p‖ / ‖u_p‖."""
        found: Array = self.left / self.born
        return found

    @property
    def relative(self) -> Array:
        """d(θ_p, r) over that of the last position in the same world."""
        found: Array = self.distance / self.distance[:, :1]
        return found

    @property
    def monotone(self) -> int:
        """Worlds in which the distance falls with every further later stage."""
        return int((np.diff(self.distance, axis=1) < 0).all(axis=1).sum())


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "all",
    dim: int = 200,
    stages: int = 5,
    stage_rows: int = 40,
    forget_rows: int = 20,
    penalty: float = 0.1,
) -> Answer:
    """Answer how much of a forget stage is left after later stages, by its position.

    Args:
        seeds: how many worlds.
        seed: of the first.
        law: of the inputs; `all` for every named law.
        dim: d.
        stages: K, the forget stage among them.
        stage_rows: n of every other stage.
        forget_rows: k, all rows of the forget stage.
        penalty: μ.

    Raises:
        InputError: E-DATA-102, -103 or -108 for options that make no world.
    """
    positive(seeds, "seeds")
    laws = LAWS if law == "all" else (law_named(law),)
    found = [_measure(one, seeds, seed, dim, stages, stage_rows, forget_rows, penalty) for one in laws]
    places = range(stages)
    records: list[dict[str, Any]] = [
        {
            "law": one.law.name, "later": place, "born": Summary.of(one.born[:, place]),
            "left": Summary.of(one.left[:, place]), "kept": Summary.of(one.kept[:, place]),
            "distance": Summary.of(one.distance[:, place]), "relative": Summary.of(one.relative[:, place]),
        }
        for one in found for place in places
    ]  # fmt: skip
    table = Table.of(
        f"What is left of the forget stage, by how many stages came after it; median (range) over {seeds} worlds",
        [
            Column(head="law", text=lambda r: r["law"]),
            Column(head="later stages", text=lambda r: str(r["later"]), numeric=True),
            *(
                Column(head=head, text=lambda r, key=key: r[key].text(), numeric=True)  # type: ignore[misc]
                for head, key in (
                    ("effect when trained ‖u‖", "born"), ("left at the end ‖δ‖", "left"), ("‖δ‖/‖u‖", "kept"),
                    ("RE distance to the oracle", "distance"),
                )
            ),
        ],
        records,
    )  # fmt: skip
    settings = {
        "seeds": seeds, "seed": seed, "law": law, "dim": dim, "stages": stages, "stage_rows": stage_rows,
        "forget_rows": forget_rows, "penalty": penalty, "rule": "proximal ridge",
    }  # fmt: skip
    numbers = {
        one.law.name: {
            "kept_by_later_stages": [Summary.of(one.kept[:, p]).numbers() for p in places],
            "re_distance_by_later_stages": [Summary.of(one.distance[:, p]).numbers() for p in places],
            "worlds_with_distance_falling_at_every_place": one.monotone,
            "largest_removal_error_relative": float(one.removal_error.max()),
        }
        for one in found
    }
    return Answer(
        name="forgetting",
        title="Natural forgetting: what later stages leave, and subtracting it",
        question="How much of a forget stage do the stages after it leave in the model, and can it be removed exactly?",
        says=tuple(_sentences(found, seeds, stages, stage_rows, forget_rows, dim, penalty)),
        settings=settings,
        numbers=numbers,
        tables=(table,),
        draw=lambda: (_figure(found, table, seeds),),
    )


def _measure(
    law: InputLaw, seeds: int, seed: int, dim: int, stages: int, stage_rows: int, forget_rows: int, penalty: float
) -> _Positions:
    shape = WorldShape(
        law=law, dim=dim, stage_rows=(*[stage_rows] * (stages - 1), forget_rows),
        forget=(*[0] * (stages - 1), forget_rows), rule=ProximalRidge(penalty=penalty),
    )  # fmt: skip
    born, left, distance, error = (np.zeros((seeds, stages)) for _ in range(4))
    for i in range(seeds):
        world = draw_world(shape, seed + i)
        oracle = world.common_oracle()
        for order in world.forget_at_each_position():
            place = order.index(stages - 1)
            later = stages - 1 - place
            path = effects(world, order)
            born[i, later] = np.linalg.norm(path[place + 1])
            left[i, later] = np.linalg.norm(path[-1])
            off = world.trained(order) - oracle
            distance[i, later] = np.square(world.test_inputs @ off).mean()
            error[i, later] = np.linalg.norm(removed(world, order) - oracle) / np.linalg.norm(oracle)
    return _Positions(law=law, born=born, left=left, distance=distance, removal_error=error)


def _sentences(
    found: Sequence[_Positions], seeds: int, stages: int, rows: int, k: int, dim: int, penalty: float
) -> list[str]:
    worst = max(float(one.removal_error.max()) for one in found)
    grew = sum(int((one.left > one.born * (1 + 1e-12)).sum()) for one in found)
    lines = [
        f"{one.law.name}: with {stages - 1} stages after it, a forget stage keeps "
        f"{Summary.of(one.kept[:, -1]).text()} of the parameter norm ‖u‖ that it added, and stands at "
        f"{Summary.of(one.relative[:, -1]).text()} of the RE distance that it has as the last stage."
        for one in found
    ]
    first = (
        f"Every later stage multiplies what the forget stage added by one fixed map of norm at most 1: in {grew} of "
        f"{len(found) * seeds * stages} histories did its norm exceed what it was when trained "
        f"(medians and ranges over {seeds} worlds per law; K = {stages} stages, {rows} rows each, k = {k} forget rows "
        f"as a whole stage, d = {dim}, proximal ridge with μ = {penalty:g})."
    )
    monotone = ", ".join(f"{one.monotone} of {seeds} ({one.law.name})" for one in found)
    return [
        first,
        *lines,
        f"The RE distance to the common oracle fell with every further later stage in {monotone} worlds; it need not, "
        "since the stage adds a different u at each position.",
        f"Subtracting the propagated effect returns the oracle with a relative error of at most {worst:.2g}; it needs "
        "the state before the forget stage and the inputs of all later stages, so it is neither local nor oblivious.",
    ]


def _figure(found: Sequence[_Positions], table: Table, seeds: int) -> Figure:
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of

    series = series_of((one.law.name, one.law.name) for one in found)
    panels = [
        later_stages_panel(
            {one.law.name: getattr(one, key) for one in found}, series, title=title, y_title=y_title,
            name=f"theory-natural-forgetting-{key}",
        )
        for key, title, y_title in (
            ("kept", "Left of what the stage added", "‖δ‖ / ‖u‖"),
            ("relative", "Distance to the oracle", "RE distance, share of that as last stage"),
        )
    ]  # fmt: skip
    return Figure(
        name="theory-natural-forgetting",
        title="What later stages leave of a forget stage",
        panels=tuple(panels),
        legend=of_series(series),
        caption=f"Lines: medians over {seeds} worlds; bands: smallest to largest. Left: parameter norm of the effect "
        "at the end over its norm when it was trained. Right: RE distance to the oracle, as a share of the same "
        "world's distance with the forget stage last.",
        table=table,
    )
