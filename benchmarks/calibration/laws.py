"""The t interval where runs are not normal: reported, so that a reader knows when to use ranks, logs or steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import Question, Row, Run, report
from benchmarks.calibration.sign_flips import COLLAPSED, p_of_differences

from retrain_equivalence.equivalence.measurements import Floats

Law = Callable[[np.random.Generator, tuple[int, int]], Floats]
LAWS: dict[str, tuple[Law, float]] = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0),
    "lognormal(.5)": (lambda rng, shape: rng.lognormal(0.0, 0.5, shape), math.exp(0.125)),
    "lognormal(1)": (lambda rng, shape: rng.lognormal(0.0, 1.0, shape), math.exp(0.5)),
    "exponential": (lambda rng, shape: rng.exponential(1.0, shape), 1.0),
    f"{COLLAPSED:.0%} collapsed": (
        lambda rng, shape: rng.standard_normal(shape) - 8.0 * (rng.random(shape) < COLLAPSED),
        -8.0 * COLLAPSED,
    ),
}
"""Laws of one run and their means."""


def ask(run: Run) -> Iterator[Row]:
    """Coverage of the mean of such runs and of their paired difference, and false detections by sign flip."""
    rng = run.rng
    for name, (law, mean) in LAWS.items():
        for n in (3, 5, 8, 10, 20):
            covered = paired = flipped = 0
            for studies in run.chunks():
                one, two = law(rng, (studies, n)), law(rng, (studies, n))
                covered += batch.of_sample(one).covers(mean)
                paired += batch.of_sample(one - two).covers(0.0)
                if 6 <= n <= 10:
                    flipped += int(np.sum(p_of_differences(one - two) <= 0.05))
            setting = f"{name}, n = {n}"
            yield report(setting, "coverage of 95 %: mean of runs", covered / run.studies)
            yield report(setting, "coverage of 95 %: paired difference", paired / run.studies)
            if 6 <= n <= 10:
                yield report(setting, "sign flip of the difference: false detections", flipped / run.studies)


QUESTION = Question(
    name="laws",
    title="What if runs are skewed, or some collapse?",
    meaning="Reported, not promised: the t interval is exact for normal runs only. The mean of skewed runs is covered "
    "too rarely, with few runs and with many; the difference of two runs of one replicate is nearly symmetric, "
    "so its interval errs the other way and its sign flip stays exact. Where runs collapse, report steps to a "
    "level or ranks, and count the collapsed runs.",
    ask=ask,
)
