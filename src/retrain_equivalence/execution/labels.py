"""Scalars of prediction snapshots, item by item: what each state thinks of the token that the text goes on with.

    expected_loss:<set>   mean over an item's scored positions of -log p(y), nats/token
    label_margin:<set>    mean over them of log p(y) - log(1 - p(y)), nats

y is the label, the text's own next token; it has a cell of its own, so lumping takes nothing from either, and no rest
mass unscores them. Snapshots keep log-probabilities in fp16, whose rounding is undone here as for distances: p(y) is
scaled by what all cells sum to. It is formed from the *other* cells, `log p(y) = -log(1 + Σ_c p_c / p(y))`, so that the
margin of a label that is all but certain keeps its digits, which `1 - p(y)` would have lost.

Unlike `response_loss`, which scores whole answers, these know the snapshot's positions alone: they describe exactly
what the distances compare.

Legend: P positions, C cells, I items of all sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.core.units import Unit
from retrain_equivalence.execution.distances import open_snapshot
from retrain_equivalence.execution.specs import LabelSpec, Snapshot
from retrain_equivalence.metrics.distributional import expected_loss, label_margin
from retrain_equivalence.metrics.reduction import item_means
from retrain_equivalence.records.table import COLUMNS, Status, to_parquet, typed
from retrain_equivalence.store.base import Store
from retrain_equivalence.study.questions import EXPECTED_LOSS, LABEL_MARGIN

if TYPE_CHECKING:
    import pandas as pd

    from retrain_equivalence.probes import prediction

Floats = NDArray[np.float64]


def label_values(store: Store, spec: LabelSpec, cells: prediction.Cells) -> bytes:
    """Return the rows of a label task as the bytes of a table segment.

    Args:
        store: where the snapshots lie.
        spec: which states.
        cells: those of `spec.cells`, with their texts: they tell which cell is the label's.

    Returns:
        One row per state, measure, test set and item. Of a state that has left the numbers all are censored; an item
        with a label that fp16 gives no probability at all is unscored.
    """
    import pandas as pd

    labels_P = label_cells(cells)
    positions = cells.positions
    named = list(dict.fromkeys(positions))
    number = {name: index for index, name in enumerate(named)}
    item_P = np.asarray([number[name] for name in positions], dtype=np.int64)
    frames = []
    for state in spec.states:
        shot = open_snapshot(store, state)
        found = None if shot is None else label_log_probabilities(shot, labels_P)
        losses_I = None if found is None else expected_loss.of_items(found, item_P)
        margins_I = None if found is None else item_means(label_margin.of_logps(found), item_P)
        frames.append(_frame(state, EXPECTED_LOSS, Unit.NATS_PER_TOKEN, named, losses_I))
        frames.append(_frame(state, LABEL_MARGIN, Unit.NATS, named, margins_I))
    return to_parquet(typed(pd.concat(frames, ignore_index=True)))


def label_cells(cells: prediction.Cells) -> NDArray[np.int64]:
    """Return at which cell each position's label lies, [P]: before the rest, or at its own token."""
    if cells.listed_PL is not None:
        return np.full(len(cells.positions), cells.listed_PL.shape[1] - 1, dtype=np.int64)
    return np.asarray([text.ids[target] for text in cells.texts for target in text.targets], dtype=np.int64)


def label_log_probabilities(shot: prediction.Snapshot, labels_P: NDArray[np.int64]) -> Floats:
    """Return `log p(y)` at every position, [P], nats, <= 0; -inf where fp16 holds no probability of the label."""
    logps_PC = shot.log_probabilities_PC.astype(np.float64)
    rows = np.arange(len(labels_P))
    own_P = logps_PC[rows, labels_P]
    logps_PC[rows, labels_P] = -np.inf
    others_P = np.logaddexp.reduce(logps_PC, axis=1)
    # Both are -inf only where a position has no mass at all, which no finite snapshot has.
    return np.asarray(-np.logaddexp(0.0, others_P - own_P))


def _frame(
    state: Snapshot, measure: str, unit: Unit, named: list[tuple[str, str]], found_I: Floats | None
) -> pd.DataFrame:
    import pandas as pd

    values_I = np.full(len(named), np.nan) if found_I is None else found_I
    lost = Status.CENSORED if found_I is None else Status.UNSCORED
    finite_I = np.isfinite(values_I)
    frame = pd.DataFrame(
        {
            "history": state.name.history,
            "replicate": state.name.replicate,
            "unlearning": state.name.unlearning,
            "step": state.name.step,
            "probe": [f"{measure}:{test_set}" for test_set, _ in named],
            "item": [item for _, item in named],
            "against": "",
            "value": np.where(finite_I, values_I, np.nan),
            "unit": unit.value,
            "status": np.where(finite_I, Status.OK.value, lost.value),
            "checkpoint": state.state[:16],
            "task": "",
        }
    )
    return frame.loc[:, list(COLUMNS)]
