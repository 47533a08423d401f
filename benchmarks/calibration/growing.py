"""Growth: rates of gaps between histories and between seeds, and the class of a gap.

Legend: M studies, G pairs of histories, H histories, T steps, R replicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import Question, Row, Run, report

from retrain_equivalence.equivalence import growth
from retrain_equivalence.equivalence.gap_series import slope_weights
from retrain_equivalence.equivalence.measurements import Floats

STEPS = [0, 4, 8, 12, 16, 20]
TIMES_T = np.array(STEPS, dtype=np.float64)
KAPPA = 0.02
"""Log units per step below which a slope counts as none."""
H = 4
RATE_SD, WALK_SD, START_SD = 0.008, 0.03, 0.4
"""Of a run's own rate, of a step of its gap's wandering, of where its gap starts."""
WINDOWS = {name: slope_weights(TIMES_T, inside) for name, inside in growth.windows(STEPS, 0, STEPS[-1]).items()}
KINDS: dict[str, tuple[float, float]] = {
    "frozen": (0.0, 0.0),
    "saturating": (0.08, 0.0),
    "contracting": (-0.08, -0.02),
    "exponential": (0.08, 0.08),
    "linear": (0.12, 0.05),
    "on the margin of frozen": (KAPPA, 0.0),
    "on the margin of saturating": (0.08, KAPPA),
    "on the margin of exponential": (0.12, 0.12 - KAPPA),
}
"""True slopes in the early and in the late half."""
CLASSES = (growth.FROZEN, growth.SATURATING, growth.CONTRACTING, growth.EXPONENTIAL, growth.LINEAR)
SEEDS_HOLD = 3
"""Replicates from which the jackknife of seed pairs covers."""


def mean_curve(early: float, late: float) -> Floats:
    """Return the mean log gap at each step."""
    half = STEPS[-1] / 2
    return early * np.minimum(TIMES_T, half) + late * np.maximum(TIMES_T - half, 0.0)


def gaps(rng: np.random.Generator, studies: int, n: int, early: float, late: float) -> tuple[Floats, Floats]:
    """Return log gaps of the pairs of histories, [M, R, G, T], and of seeds of each history, [M, H, R, R, T].

    A run of a history has a rate of its own, which enters every pair that it is in. What all histories of a replicate
    have in common moves gaps between seeds alone.
    """
    own = rng.standard_normal((studies, n, 1)) + rng.standard_normal((studies, n, H))
    rate_MRH = RATE_SD * own / np.sqrt(2)
    pairs = list(combinations(range(H), 2))
    curve = mean_curve(early, late)
    by_pair = np.stack([rate_MRH[..., a] + rate_MRH[..., b] for a, b in pairs], axis=2)
    walk = np.cumsum(WALK_SD * rng.standard_normal((studies, n, len(pairs), len(STEPS))), axis=-1)
    start = START_SD * rng.standard_normal((studies, n, len(pairs), 1))
    between_histories = start + curve + by_pair[..., None] * TIMES_T + walk
    rate_MRH = rate_MRH + RATE_SD * rng.standard_normal((studies, n, 1))
    of_two = rate_MRH.transpose(0, 2, 1)[:, :, :, None] + rate_MRH.transpose(0, 2, 1)[:, :, None, :]
    noise = np.cumsum(WALK_SD * rng.standard_normal((studies, H, n, n, len(STEPS))), axis=-1)
    noise = (noise + noise.transpose(0, 1, 3, 2, 4)) / np.sqrt(2)
    return between_histories, curve + of_two[..., None] * TIMES_T + noise


def ask(run: Run) -> Iterator[Row]:
    """Coverage of the rates, recovery of the sign, and right and wrong classes."""
    rng = run.rng
    for n in (3, 5, 8, 10, 20):
        path = seed = both = told = right = 0
        errors: list[Floats] = []
        rate = 0.04
        for studies in run.chunks(500):
            paths, seeds = gaps(rng, studies, n, rate, rate)
            slopes = (paths @ WINDOWS["whole"]).mean(axis=2)
            of_path = batch.of_sample(slopes)
            of_seeds = batch.among_runs((seeds @ WINDOWS["whole"]).mean(axis=1))
            as_jackknife = batch.among_runs(np.repeat(slopes[:, :, None], n, axis=2))
            path += of_path.covers(rate)
            seed += of_seeds.estimates().covers(rate)
            both += as_jackknife.plus(-1.0, of_seeds).estimates().covers(0.0)
            low, high = of_path.bounds(0.95)
            told += int(np.sum((low > 0) | (high < 0)))
            right += int(np.sum(low > 0))
            errors.append(of_path.value_M - rate)
        setting, M = f"rate {rate:g}, n = {n}", run.studies
        yield run.coverage(setting, path / M, quantity="path rate: coverage of 95 %")
        yield run.coverage(setting, seed / M, quantity="seed rate: coverage of 95 %", gated=n >= SEEDS_HOLD)
        yield run.coverage(setting, both / M, quantity="path minus seed: coverage of 95 %", gated=n >= SEEDS_HOLD)
        yield run.unbiased(setting, "path rate: mean error", np.concatenate(errors))
        yield report(setting, "path rate: told from 0", told / M)
        yield report(setting, "path rate: told with the right sign", right / max(told, 1))
    for name, (early, late) in KINDS.items():
        for n in (5, 10):
            words = dict.fromkeys((*CLASSES, growth.INCONCLUSIVE), 0)
            for studies in run.chunks(500):
                paths, _ = gaps(rng, studies, n, early, late)
                one, two = ((paths @ WINDOWS[window]).mean(axis=2) for window in ("early", "late"))
                for early_R, late_R in zip(one, two, strict=True):
                    words[growth.classify(early_R, late_R, KAPPA).word] += 1
            setting, M = f"{name}, n = {n}", run.studies
            is_right = words.get(name, 0)
            wrong = M - words[growth.INCONCLUSIVE] - is_right
            yield run.at_most(setting, "wrong class", wrong / M)
            yield report(setting, "right class", is_right / M)
            yield report(setting, "inconclusive", words[growth.INCONCLUSIVE] / M)


QUESTION = Question(
    name="growing",
    title="Is the rate at which histories part recovered, and its class?",
    meaning="Logarithms of gaps with known slopes; a run's own rate enters every pair that it is in. The rate of gaps "
    "between histories is a mean over replicates, and its interval covers with any number of them; that of gaps"
    " between seeds is a jackknife over pairs of replicates. A class (frozen, saturating, contracting, "
    "exponential, linear) is wrong in 5 % of studies at most, also where the slopes lie on the margin.",
    ask=ask,
)
