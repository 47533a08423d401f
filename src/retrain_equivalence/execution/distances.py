"""Distances among states: the declared pairs, for every test set, from their prediction snapshots.

Pairs (see `docs/results.md`): a history's state against every replicate of its own oracle and, where an excess path gap
was declared, of the oracles of the other orders; oracles among themselves; history against history of other replicates,
at equal steps and, where a comparison at matched forgetting was declared, at different ones. Test sets are never
pooled. The Hilbertian distances are computed for all pairs from one Gram matrix; the others only against a history's
own oracles, at the steps that the plan names.

Legend: N states, P positions, C cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.execution.specs import DistanceSpec, Snapshot
from retrain_equivalence.execution.states import step_file
from retrain_equivalence.metrics.catalogue import DISTANCES, Distance
from retrain_equivalence.metrics.reduction import item_weights, unscored
from retrain_equivalence.probes import prediction
from retrain_equivalence.recipes.probe import probe_name
from retrain_equivalence.records.table import COLUMNS, Status, to_parquet, typed
from retrain_equivalence.store.base import Store

if TYPE_CHECKING:
    import pandas as pd

ALWAYS = ("hellinger", "squared_l2")
"""Distances of all declared pairs; the rest of the catalogue only against oracles at `divergences_at`."""

MATCHED = ("hellinger",)
"""Distances of pairs at different steps: the primary one, for comparisons at matched forgetting."""

CHUNK_VALUES = 1_000_000
"""Numbers of one side that a distance without an all-pairs form works on at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Index pairs into the list of states; `i` is the row's state and `j` what it is held against."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Iterator[tuple[int, int]]) -> _Pairs:
        array = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
        return cls(i=array[:, 0], j=array[:, 1])


def distance_values(store: Store, spec: DistanceSpec) -> bytes:
    """Return the rows of a distance task as the bytes of a table segment."""
    import pandas as pd

    states = [*spec.states, *spec.oracles]
    shots = [open_snapshot(store, state) for state in states]
    first = next(shot for shot in shots if shot is not None)
    present = np.array([shot is not None for shot in shots])
    # float64 throughout: a probability below 1e-38, which unlearned models reach, would be 0 in float32 and KL
    # infinite.
    blank = np.full(first.log_probabilities_PC.shape, 1.0 / first.log_probabilities_PC.shape[1])
    rests = np.stack([np.zeros(len(blank), np.float32) if shot is None else shot.rest_P for shot in shots])
    pairs = {kind: _Pairs.of(_pairs(spec, states, kind)) for kind in ("equal", "cross", "divergence")}

    frames: list[pd.DataFrame] = []
    for test_set in first.sets:
        at = first.positions_of(test_set)
        weights = item_weights(first.item_index(test_set))
        probabilities = np.stack([blank[at] if shot is None else shot.probabilities_at(at) for shot in shots])
        hidden = unscored(rests[:, at], weights, spec.probe.max_rest)
        for distance in DISTANCES.values():
            chosen = pairs["equal" if distance.name in ALWAYS else "divergence"]
            if distance.name in ALWAYS:
                matrix = distance.all_pairs(probabilities, weights)
                values = matrix[chosen.i, chosen.j]
            else:
                values = _in_chunks(distance, probabilities, weights, chosen)
            frames.append(_frame(spec, states, test_set, distance, chosen, values, present, hidden, first.lumped))
            if spec.cross_steps and distance.name in MATCHED:
                other = pairs["cross"]
                values = matrix[other.i, other.j]
                frames.append(_frame(spec, states, test_set, distance, other, values, present, hidden, first.lumped))
    return to_parquet(typed(pd.concat(frames, ignore_index=True)))


def open_snapshot(store: Store, state: Snapshot) -> prediction.Snapshot | None:
    """Return a state's snapshot, or None where its trajectory, or the state itself, had left the numbers."""
    artifact = store.get(state.task)
    prefix = step_file(state.step, "")
    if not any(name.startswith(prefix) for name in artifact.manifest.files):
        return None
    names = [name for name in artifact.manifest.files if name.startswith(prefix)]
    shot = prediction.from_files({name.removeprefix(prefix): artifact.read(name) for name in names})
    return shot if shot.is_finite else None


def _pairs(spec: DistanceSpec, states: list[Snapshot], kind: str) -> Iterator[tuple[int, int]]:
    n = len(spec.states)
    order = {name: index for index, name in enumerate(spec.history_order)}
    oracle_of = dict(spec.oracle_of)
    for i in range(n):
        one = states[i].name
        # Step 0 belongs to the task of trained states; in an unlearning's task it only serves matched pairs.
        own = one.unlearning == spec.unlearning
        if own and kind != "cross":
            for j in range(n, len(states)):
                wanted = kind == "equal" or one.step in spec.divergences_at
                own_order = states[j].name.history == oracle_of[one.history]
                if (own_order and wanted) or (spec.every_oracle and kind == "equal"):
                    yield i, j
        for j in range(n):
            two = states[j].name
            if one.replicate == two.replicate or order[one.history] > order[two.history]:
                continue
            if one.history == two.history and (one.replicate, one.step) > (two.replicate, two.step):
                continue
            if one.step == two.step and own and kind == "equal":
                yield i, j
            if one.step != two.step and kind == "cross":
                yield i, j
    if not spec.unlearning and kind != "cross":
        for i in range(n, len(states)):
            for j in range(i + 1, len(states)):
                if states[i].name.replicate != states[j].name.replicate:
                    yield i, j


def _in_chunks(
    distance: Distance, probabilities_NPC: NDArray[np.float64], weights: NDArray[np.float64], pairs: _Pairs
) -> NDArray[np.float64]:
    """A distance without an all-pairs form, over the positions of many pairs at once."""
    n_positions, n_cells = probabilities_NPC.shape[1:]
    values = np.empty(len(pairs.i))
    size = max(1, CHUNK_VALUES // (n_positions * n_cells))
    for start in range(0, len(values), size):
        some = slice(start, start + size)
        one = probabilities_NPC[pairs.i[some]].reshape(-1, n_cells)
        two = probabilities_NPC[pairs.j[some]].reshape(-1, n_cells)
        values[some] = distance.per_position(one, two).reshape(-1, n_positions) @ weights
    return values


def _frame(
    spec: DistanceSpec,
    states: list[Snapshot],
    test_set: str,
    distance: Distance,
    pairs: _Pairs,
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
    hidden: NDArray[np.bool_],
    lumped: bool,
) -> pd.DataFrame:
    import pandas as pd

    names = [state.name for state in states]
    censored = ~(present[pairs.i] & present[pairs.j])
    # A state that gives a token less than 1e-308 has an infinite divergence in float64: no number to average.
    dropped = (hidden[pairs.i, pairs.j] | ~np.isfinite(values)) & ~censored
    status = np.where(censored, Status.CENSORED.value, np.where(dropped, Status.UNSCORED.value, Status.OK.value))
    frame = pd.DataFrame(
        {
            "history": np.array([name.history for name in names], dtype=object)[pairs.i],
            "replicate": np.array([name.replicate for name in names])[pairs.i],
            "unlearning": np.array([name.unlearning for name in names], dtype=object)[pairs.i],
            "step": np.array([name.step for name in names])[pairs.i],
            "probe": f"{probe_name(spec.probe)}/{distance.name}",
            "item": test_set,
            "against": np.array([str(name) for name in names], dtype=object)[pairs.j],
            "value": np.where(censored | dropped, np.nan, values),
            "unit": distance.unit_text(lumped=lumped),
            "status": status,
            "checkpoint": np.array([state.state[:16] for state in states], dtype=object)[pairs.i],
            "task": "",
        }
    )
    return frame.loc[:, list(COLUMNS)]
