"""Stated power against simulated power."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import Question, Row, Run
from benchmarks.calibration.sign_flips import p_of_differences

from retrain_equivalence.equivalence import power
from retrain_equivalence.equivalence.estimate import t_quantile
from retrain_equivalence.equivalence.verdict import Rule


def ask(run: Run) -> Iterator[Row]:
    """The t-test and the sign flip at the effect that t finds in 80 %, TOST at the margin that it passes in 80 %."""
    rng = run.rng
    for n in (3, 4, 5, 6, 8, 10, 12, 16, 20):
        effect, margin = power.detectable_effect(n), power.equivalence_margin(n)
        by_t = by_half = by_flip = by_tost = 0
        for studies in run.chunks():
            noise = rng.standard_normal((studies, n))
            critical = t_quantile(0.975, n - 1)
            for share in (1.0, 0.5):
                found = batch.of_sample(noise + share * effect)
                rejected = int(np.sum(np.abs(found.value_M) > critical * found.se_M))
                by_t, by_half = (by_t + rejected, by_half) if share == 1.0 else (by_t, by_half + rejected)
            by_tost += int(batch.of_sample(noise).verdicts(margin, Rule.SIGNED)[0])
            if 6 <= n <= 12:
                by_flip += int(np.sum(p_of_differences(noise + effect) <= 0.05))
        name, M = f"n = {n}", run.studies
        yield run.power(name, "t-test at its 80 % effect", by_t / M, power.power_of_t(effect, n))
        yield run.power(name, "t-test at half that effect", by_half / M, power.power_of_t(effect / 2, n))
        yield run.power(name, "TOST at its 80 % margin", by_tost / M, power.power_of_tost(margin, n))
        if 6 <= n <= 12:
            yield run.power(
                name, "sign flip at the t-test's 80 % effect", by_flip / M, power.power_of_sign_flip(effect, n)
            )


QUESTION = Question(
    name="powers",
    title="Is the power that `plan` prints the power that studies have?",
    meaning="Effects are in standard deviations of the paired difference. The simulated rate must lie within 2.5 points"
    " of what the package states for that very test.",
    ask=ask,
)
