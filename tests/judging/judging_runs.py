"""Runs made up for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from retrain_equivalence.judging.runs import Run, Runs


def bare(values: Sequence[float | None], name: str = "run") -> tuple[Run, ...]:
    """Runs with a number of their own and no items."""
    return tuple(Run(name=f"{name} {i}", value=value) for i, value in enumerate(values))


def with_items(values_RI: np.ndarray, name: str = "run") -> tuple[Run, ...]:
    """Runs whose number is the mean over items; the items are truth ratios too."""
    found = []
    for i, row in enumerate(values_RI):
        items = {str(k): float(x) for k, x in enumerate(row)}
        found.append(Run(name=f"{name} {i}", value=float(row.mean()), items=items, truth_ratios=items))
    return tuple(found)


def two(
    unlearned: tuple[Run, ...], retrained: tuple[Run, ...], before: tuple[Run, ...] = (), metric: str = "m"
) -> Runs:
    return Runs(metric=metric, unlearned=unlearned, retrained=retrained, before=before)


def log(probabilities: Sequence[float], **more: object) -> Mapping[str, object]:
    """An evaluation log with one metric of items."""
    items = {str(i): {"prob": p, "avg_loss": -float(np.log(p))} for i, p in enumerate(probabilities)}
    return {
        "forget_Q_A_Prob": {"agg_value": float(np.mean(probabilities)), "value_by_index": items},
        "model_utility": {"agg_value": 0.5},
        **more,
    }


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path
