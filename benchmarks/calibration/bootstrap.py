"""A control: the percentile bootstrap of a few replicates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from benchmarks.calibration.gates import Question, Role, Row, Run
from benchmarks.calibration.means import differences
from benchmarks.calibration.worlds import CARRY

DRAWS = 999


def ask(run: Run) -> Iterator[Row]:
    """Coverage of the 95 % percentile interval of the mean."""
    rng = run.rng
    part = run.some(4)
    for n in (5, 10):
        covered = 0
        for studies in part.chunks(500):
            values = differences(rng, studies, n, CARRY["decaying"])
            weights = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS) / n
            low, high = np.quantile(values @ weights.T, (0.025, 0.975), axis=1)
            covered += int(np.sum((low <= 0) & (high >= 0)))
        high_enough = 0.90 if n == 5 else 0.93
        yield Row(
            setting=f"n = {n}, {part.studies:,} studies",
            quantity="percentile bootstrap: coverage of 95 %",
            value=covered / part.studies,
            high=high_enough,
            role=Role.CONTROL,
        )


QUESTION = Question(
    name="bootstrap",
    title="Why not the bootstrap?",
    meaning="Resampling five replicates gives intervals that are too short: they miss in three times as many studies as"
    " they say. The package uses t intervals and the jackknife instead.",
    ask=ask,
)
