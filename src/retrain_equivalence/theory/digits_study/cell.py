"""One classifier under one method over seeds: growth, class, agreement with predictions, controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.classifier_gap import PAIRS, ClassifierGap
from retrain_equivalence.theory.classifier_unlearning import LogitMethod
from retrain_equivalence.theory.classifiers import Classifier
from retrain_equivalence.theory.growth_class import Growing, growing
from retrain_equivalence.theory.summary import Summary

NEAR = 1.5
"""A predicted growth factor within this factor of the measured one counts as near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsCell:
    """One classifier under one method, over seeds."""

    model: Classifier
    method: LogitMethod
    gaps: tuple[ClassifierGap, ...]
    margin: float

    def log_growth(self, space: str, of: str) -> Array:
        """Return log(gap_t / gap_0), shape [seeds, T + 1]; `of` is a pair, `along`, `linear` or `twin predicted`."""
        name = of.removesuffix(" predicted")
        source = "measured" if of in PAIRS else "predicted"
        found = np.log(np.stack([getattr(gap, source)[space][name] for gap in self.gaps]))
        return np.asarray(found - found[:, :1], dtype=np.float64)

    def factor(self, space: str, of: str) -> Summary:
        """Summarise log(gap_T / gap_0) over seeds."""
        return Summary.of(self.log_growth(space, of)[:, -1])

    def growing(self, space: str, pair: str) -> Growing:
        """Classify the growth of a measured gap."""
        return growing(self.log_growth(space, pair), self.margin)

    def holds_until(self, space: str, prediction: str) -> tuple[Summary, int]:
        """Return the steps up to which a prediction is within a factor `NEAR` of what it predicts.

        The first of the pair is over seeds, T where it holds to the end; the second counts those seeds.
        """
        measured = self.log_growth(space, "twin" if prediction == "twin predicted" else "histories")
        off = np.abs(measured - self.log_growth(space, prediction)) > np.log(NEAR)
        n_steps = off.shape[1] - 1
        steps = [int(row.argmax()) - 1 if row.any() else n_steps for row in off]
        return Summary.of([float(step) for step in steps]), int((~off.any(axis=1)).sum())

    def ratio_to_seeds(self, space: str, step: int) -> Summary:
        """Summarise log(gap of histories / gap of seeds) at a step."""
        pairs = [gap.measured[space] for gap in self.gaps]
        return Summary.of([float(np.log(p["histories"][step] / p["seeds"][step])) for p in pairs])

    def lead_of_seeds(self, space: str) -> Summary:
        """Summarise log growth of the seeds' gap less that of the histories', per seed."""
        return Summary.of(self.log_growth(space, "seeds")[:, -1] - self.log_growth(space, "histories")[:, -1])

    def root_distance(self, pair: str, step: int) -> Summary:
        """Summarise the distance of √p on the test rows, from 0 to √2: bounded, so not on the log scale."""
        return Summary.of([float(gap.measured["test √p"][pair][step]) for gap in self.gaps])

    def accuracy(self, of: str, step: int, history: int) -> Summary:
        """Summarise accuracy (`forget` or `test`) at a step of history 0 (forget stage last) or 1 (first)."""
        return Summary.of([float(getattr(gap, f"{of}_accuracy")[step, history]) for gap in self.gaps])


def times(summary: Summary, digits: int = 3) -> str:
    """Return a factor, geometric mean with 95 % t interval over seeds, from a summary of its logarithm."""
    low, high = summary.mean - summary.half_width, summary.mean + summary.half_width
    return f"{np.exp(summary.mean):.{digits}g} [{np.exp(low):.{digits}g}, {np.exp(high):.{digits}g}]"


def monotone(gaps: Sequence[ClassifierGap], *, grows: bool) -> int:
    """Count seeds in which no step moves any pair's parameter gap the wrong way (beyond 1e-12 relative)."""
    kept = 0
    for gap in gaps:
        ratios = np.concatenate([g[1:] / g[:-1] for g in gap.measured["parameters"].values()])
        kept += bool((ratios >= 1 - 1e-12).all() if grows else (ratios <= 1 + 1e-12).all())
    return kept


def drift(gaps: Sequence[ClassifierGap], space: str) -> float:
    """Return the largest relative change of the histories' gap in a space, over steps and seeds."""
    paths = np.stack([gap.measured[space]["histories"] for gap in gaps])
    return float(np.abs(paths / paths[:, :1] - 1).max())
