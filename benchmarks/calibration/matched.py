"""Equal forgetting: verdicts where each run has stopped at the oracles' level, at its own step.

Legend: M studies, R replicates, T saved steps, D coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.distances import bias, ratio
from benchmarks.calibration.gates import Question, Row, Run, report
from benchmarks.calibration.worlds import ORACLE, POSITIONS, tree

from retrain_equivalence.equivalence.measurements import Flags, Floats
from retrain_equivalence.equivalence.verdict import Rule

RANK = 20
STEPS_T = np.arange(0.0, 11.0)
LEVEL = 3.0


def studies_of(rng: np.random.Generator, studies: int, n: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return stopping losses [M, R, T], predictions [M, R, T, D], oracle losses [M, R], oracle predictions [M, R, D].

    The prediction moves past the oracle at the run's own speed, and so does its loss, so that where a run stops depends
    on where it is; half of the items say when, with noise of their own.
    """
    noise = tree(rng, (POSITIONS[3], ORACLE), studies, n, dims=RANK + 2)
    speed = np.exp(0.2 * noise[:, :, 0, 0])[..., None] * STEPS_T
    losses = 1.0 + 0.3 * noise[:, :, 0, 1][..., None] + 0.35 * speed
    losses = losses + 0.1 * rng.standard_normal(losses.shape)
    path = (speed - 2.0) / math.sqrt(RANK)
    oracle_losses = LEVEL + 0.2 * noise[:, :, 1, 1]
    return losses, noise[:, :, 0, None, 2:] + path[..., None], oracle_losses, noise[:, :, 1, 2:]


def stopped(losses_MRT: Floats, predictions_MRTD: Floats, level_M: Floats) -> tuple[Floats, Flags]:
    """Return the predictions where each run first is at or past the level, [M, R, D], and whether it gets there."""
    past = losses_MRT >= level_M[:, None, None]
    first = np.where(past.any(axis=2), past.argmax(axis=2), len(STEPS_T) - 1)
    there: Flags = np.any(past, axis=2)
    return np.take_along_axis(predictions_MRTD, first[..., None, None], axis=2)[:, :, 0], there


def truth(rng: np.random.Generator) -> tuple[float, float]:
    """Return the true ratio to the band and the true bias at the true level, from many runs."""
    distance, count = 0.0, 0
    total = np.zeros(RANK)
    for _ in range(40):
        losses, predictions, _, oracles = studies_of(rng, 5_000, 1)
        here, _ = stopped(losses, predictions, np.full(5_000, LEVEL))
        distance += float(np.square(here[:, 0] - np.roll(oracles[:, 0], 1, axis=0)).sum()) / 2
        total += here[:, 0].sum(axis=0)
        count += 5_000
    displacement = float(np.square(total / count).sum()) / 2
    return distance / count / RANK, displacement


def ask(run: Run) -> Iterator[Row]:
    """False verdicts at the margin, among the studies in which every run reaches the level."""
    rng = run.rng
    margin, displacement = truth(rng)
    for n in (3, 5, 8, 10, 20):
        by_ratio, by_bias, judged, covered = np.zeros(3), np.zeros(3), 0, 0
        for studies in run.chunks(500):
            losses, predictions, oracle_losses, oracles = studies_of(rng, studies, n)
            here, there = stopped(losses, predictions, oracle_losses.mean(axis=1))
            whole = there.all(axis=1)
            judged += int(whole.sum())
            found = ratio(here[whole], oracles[whole]).estimates()
            by_ratio += found.verdicts(math.log(margin), Rule.DISTANCE)
            covered += found.covers(math.log(margin))
            by_bias += batch.of_squared_norm(*bias(here[whole], oracles[whole])).verdicts(displacement, Rule.DISTANCE)
        setting = f"n = {n}"
        yield report(setting, "studies in which every run got there", judged / run.studies)
        yield run.approximate(setting, "ratio to band: false EQUIVALENT", by_ratio[0] / judged, gated=n >= 5)
        yield run.approximate(setting, "ratio to band: false DIFFERENT", by_ratio[1] / judged, gated=n >= 5)
        yield report(setting, "ratio to band: coverage of 95 %", covered / judged)
        yield run.approximate(setting, "B_h: false EQUIVALENT", by_bias[0] / judged, gated=n >= 5)
        yield run.approximate(setting, "B_h: false DIFFERENT", by_bias[1] / judged, gated=n >= 5)


QUESTION = Question(
    name="matched",
    title="Do verdicts hold at equal forgetting, where runs stand at different steps?",
    meaning="Each run stops at the first saved step at which half of its forget items are at or past the oracles' mean "
    "level, which is estimated. The margin is the true distance there. Verdicts are given only where every run "
    "got there; then they err as rarely as at equal steps. A study in which some run did not get there is "
    "INCONCLUSIVE.",
    ask=ask,
)
