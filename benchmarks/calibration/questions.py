"""The questions, in the order of the page."""

from __future__ import annotations

from benchmarks.calibration import (
    bootstrap,
    distances,
    families,
    gaps,
    growing,
    interim,
    laws,
    matched,
    means,
    permutations,
    powers,
    price,
    recent,
    sign_flips,
    spread,
)
from benchmarks.calibration.gates import Question

QUESTIONS: tuple[Question, ...] = (
    means.QUESTION,
    bootstrap.QUESTION,
    laws.QUESTION,
    distances.QUESTION,
    gaps.QUESTION,
    sign_flips.QUESTION,
    families.QUESTION,
    permutations.QUESTION,
    spread.QUESTION,
    growing.QUESTION,
    recent.QUESTION,
    matched.QUESTION,
    price.QUESTION,
    interim.QUESTION,
    powers.QUESTION,
)
