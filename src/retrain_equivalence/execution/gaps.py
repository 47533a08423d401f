"""Coupled gaps: how far apart two states of *equal* draws are, step by step, so that a rate of parting can be seen.

Pairs are *coupled*: two histories of one replicate (path pairs), which share their seeds and batches and differ in the
order of stages alone; and two replicates of one history (seed pairs), the yardstick. Only states of the same unlearning
and step are paired. Distances of `execution.distances` are between independent runs and bounded, so what they show of a
gap is noise first and a ceiling last; these are for the one contrast `growth` alone.

    gap/label_logp    √(Σ_p w_p (log p_i(y_p) - log p_j(y_p))²), nats: unbounded, so growth cannot saturate
    gap/hellinger     √(Σ_p w_p H²_p): the primary distance, not squared; at most 1
    gap/parameters    ‖θ_i - θ_j‖₂ over all weights, adapters merged

w_p weighs items equally and positions equally within their item. Snapshots keep log-probabilities in fp16, so a gap of
`label_logp` is known to about 2^-11 of the log-probabilities themselves.

Legend: N states of one step, P positions, C cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.core.identity import Key
from retrain_equivalence.core.units import Unit
from retrain_equivalence.execution.distances import open_snapshot
from retrain_equivalence.execution.labels import label_cells
from retrain_equivalence.execution.pair_row import pair_row
from retrain_equivalence.execution.specs import GapSpec, Snapshot
from retrain_equivalence.execution.weight_pairs import Pair, Weights, weight_pairs
from retrain_equivalence.metrics.pointwise import hellinger
from retrain_equivalence.metrics.reduction import item_weights, unscored
from retrain_equivalence.records.table import Row, frame_of, to_parquet
from retrain_equivalence.store.base import Store

if TYPE_CHECKING:
    from retrain_equivalence.execution.states import States
    from retrain_equivalence.probes import prediction

LABEL_LOGP, HELLINGER, PARAMETERS = "gap/label_logp", "gap/hellinger", "gap/parameters"
WEIGHTS = "weights"
"""What stands in the place of the test set where all weights are compared."""
PARAMETER_UNIT = "L2 norm of weights"
HELLINGER_UNIT = "Hellinger distance"


def coupled_pairs(states: Sequence[Snapshot], history_order: Sequence[str]) -> list[Pair]:
    """Return which states of one step are held against each other, as (row's state, other state).

    Two histories of one replicate, the earlier in `history_order` first; two replicates of one history, the smaller
    first. States of other steps or unlearnings than each other are no pair.
    """
    place = {name: index for index, name in enumerate(history_order)}
    ranked = sorted(range(len(states)), key=lambda i: (place[states[i].name.history], states[i].name.replicate))
    found = []
    for i, j in combinations(ranked, 2):
        one, two = states[i].name, states[j].name
        if (one.unlearning, one.step) != (two.unlearning, two.step):
            continue
        if (one.history == two.history) != (one.replicate == two.replicate):
            found.append((i, j))
    return found


def gap_values(store: Store, states: States, spec: GapSpec, cells: prediction.Cells) -> bytes:
    """Return the rows of a gap task as the bytes of a table segment.

    Args:
        store: where the snapshots lie.
        states: opens the weights.
        spec: which states.
        cells: those of `spec.cells`, with their texts: they tell which cell is the label's.

    Returns:
        One row per pair, measure and test set (`weights` for the parameters). A pair of which either state has left the
        numbers is censored; a Hellinger gap of states that say mostly what has no cell of its own, or a label
        log-probability that fp16 cannot hold, is unscored.
    """
    labels_P = label_cells(cells)
    rows: list[Row] = []
    own = [state for state in spec.states if state.name.unlearning == spec.unlearning]
    for step in sorted({state.name.step for state in own}):
        here = [state for state in own if state.name.step == step]
        pairs = coupled_pairs(here, spec.history_order)
        shots = [open_snapshot(store, state) for state in here]
        present = [shot is not None for shot in shots]
        first = next((shot for shot in shots if shot is not None), None)
        sets = first.sets if first is not None else tuple(dict.fromkeys(name for name, _ in cells.positions))
        for test_set in sets:
            rows += _predicted(here, pairs, shots, test_set, labels_P, cells.lumped, spec.probe.max_rest)
        norms = parameter_gaps(states, here, [p for p in pairs if present[p[0]] and present[p[1]]], dict(spec.bases))
        for i, j in pairs:
            rows.append(
                pair_row(
                    here[i],
                    here[j],
                    probe=PARAMETERS,
                    item=WEIGHTS,
                    value=norms.get((i, j)),
                    unit=PARAMETER_UNIT,
                    present=(i, j) in norms,
                )
            )
    return to_parquet(frame_of(rows))


def _predicted(
    here: Sequence[Snapshot],
    pairs: Sequence[Pair],
    shots: Sequence[prediction.Snapshot | None],
    test_set: str,
    labels_P: NDArray[np.int64],
    lumped: bool,
    max_rest: float,
) -> Iterator[Row]:
    """Yield the rows of both measures of predictions on one test set."""
    unit = f"{HELLINGER_UNIT} (lower bound)" if lumped else HELLINGER_UNIT
    there = [index for index, shot in enumerate(shots) if shot is not None]
    at = {index: place for place, index in enumerate(there)}
    found = [shot for shot in shots if shot is not None]
    if found:
        positions = found[0].positions_of(test_set)
        weights = item_weights(found[0].item_index(test_set))
        label_logps = np.stack([s.log_probabilities_PC[positions, labels_P[positions]] for s in found])
        label_logps_NP = label_logps.astype(np.float64)
        # Each state enters many pairs: its distributions are made once.
        roots_NPC = [np.sqrt(s.probabilities_at(positions)) for s in found]
        hidden_NN = unscored(np.stack([s.rest_P[positions] for s in found]), weights, max_rest)
    for i, j in pairs:
        both = i in at and j in at
        logp = apart = None
        if both:
            one, two = at[i], at[j]
            if np.isfinite(label_logps_NP[[one, two]]).all():
                logp = float(np.sqrt(weights @ np.square(label_logps_NP[one] - label_logps_NP[two])))
            if not hidden_NN[one, two]:
                # Not from one Gram matrix of all states: its cancellation leaves 1e-14 of a squared distance, which
                # would be a gap of 1e-7 between equal states, and a rate of it.
                apart = float(np.sqrt(weights @ hellinger.of_roots(roots_NPC[one], roots_NPC[two])))
        for measure, value, in_unit in ((LABEL_LOGP, logp, Unit.NATS.value), (HELLINGER, apart, unit)):
            yield pair_row(here[i], here[j], probe=measure, item=test_set, value=value, unit=in_unit, present=both)


def parameter_gaps(
    states: States, here: Sequence[Snapshot], pairs: Sequence[Pair], bases: Mapping[int, Key]
) -> dict[Pair, float]:
    """Return `‖θ_i - θ_j‖₂` of each pair, summed in float64."""
    return {pair: norm_of_difference(one, two) for pair, one, two in weight_pairs(states, here, pairs, bases)}


def norm_of_difference(one: Weights, two: Weights) -> float:
    """Return `√(Σ (θ_i - θ_j)²)` over tensors of equal names, summed in float64.

    >>> import torch
    >>> norm_of_difference({"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([4.0, 6.0])})
    5.0
    """
    squares = [float((one[name].double() - two[name].double()).square().sum()) for name in sorted(one)]
    return float(np.sqrt(np.sum(squares)))
