"""Two-sample permutation of whole runs between independent sets.

Legend: M studies, L runs of both sets, D coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from benchmarks.calibration.gates import Question, Row, Run
from benchmarks.calibration.worlds import ORACLE, half_squared, tree

from retrain_equivalence.equivalence import permutation, welch

RANK = 20
WELCH_MARGIN = 6.0
"""In standard deviations of the first set; the second varies twice as much."""


def ask(run: Run) -> Iterator[Row]:
    """Sizes at several numbers of runs, each beside what the number of labellings allows."""
    rng = run.rng
    for n, m, part in (
        (3, 3, run),
        (4, 4, run),
        (5, 5, run),
        (4, 8, run),
        (5, 10, run),
        (10, 10, run.some(10)),
    ):
        first = np.arange(n + m) < n
        rejected = 0
        for studies in part.chunks():
            runs = tree(rng, (ORACLE,), studies, n + m, dims=RANK)[:, :, 0]
            runs *= np.where(rng.random((studies, n + m, 1)) < 0.15, 3.0, 1.0)
            distances = np.sqrt(np.maximum(half_squared(runs, runs), 0.0))
            rejected += sum(permutation.two_sample(one, first).p_value <= 0.05 for one in distances)
        labellings = math.comb(n + m, n)
        least = 2 if n == m else 1
        attainable = least * math.floor(0.05 * labellings / least) / labellings
        setting = f"{n} against {m} runs" + ("" if part is run else f", {part.studies:,} studies")
        yield part.discrete(setting, "detections under equal laws", rejected / part.studies, attainable)
    for n, m in ((5, 5), (5, 10), (10, 20)):
        detected = same_within = 0
        for studies in run.chunks():
            one, two = rng.standard_normal((studies, n)), 2.0 * rng.standard_normal((studies, m))
            for x, y in zip(one, two, strict=True):
                p_value = welch.difference(x, y).p_value
                detected += p_value is not None and p_value <= 0.05
                p_value = welch.difference(x + WELCH_MARGIN, y).p_equivalence(WELCH_MARGIN)
                same_within += p_value is not None and p_value <= 0.05
        setting = f"{n} against {m} runs"
        yield run.approximate(setting, "Welch: detections under equal means", detected / run.studies)
        yield run.approximate(setting, "Welch: false EQUIVALENT at the margin", same_within / run.studies)


QUESTION = Question(
    name="permutations",
    title="Is the comparison of two laws exact?",
    meaning="Unlearned runs against independent oracles with the same law, 15 % of them wild, by the energy distance "
    "and permutation of whole runs. The number of labellings limits it: 3 against 3 runs can never reach 5 %, 4"
    " against 4 reach 2.9 %.",
    ask=ask,
)
