"""Looking before the end: how often a study errs in all, with looks that are paid for and with looks that are not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import Question, Row, Run
from benchmarks.calibration.means import differences
from benchmarks.calibration.worlds import CARRY

from retrain_equivalence.equivalence import spending
from retrain_equivalence.equivalence.measurements import Floats

PLANS: tuple[tuple[int, ...], ...] = ((5, 8, 10, 15, 20), (8, 16), (5, 10))
"""Numbers of replicates at which the results are looked at; the last one is the registered end."""


def decided(values_MR: Floats, margin: float, at: tuple[int, ...], alphas: tuple[float, ...]) -> tuple[int, int]:
    """Return how many studies say EQUIVALENT, and how many DIFFERENT, at any look."""
    said = np.zeros((2, len(values_MR)), dtype=bool)
    for n, alpha in zip(at, alphas, strict=True):
        low, high = batch.of_sample(values_MR[:, :n]).bounds(1 - 2 * alpha)
        said[0] |= (-margin < low) & (high < margin)
        said[1] |= (low > margin) | (high < -margin)
    return int(said[0].sum()), int(said[1].sum())


def ask(run: Run) -> Iterator[Row]:
    """False verdicts at the margin and false detections without an effect, over all looks."""
    rng = run.rng
    sd = float(np.std(differences(rng, 20_000, 2, CARRY["decaying"])))
    for at in PLANS:
        spent, each = spending.levels(at[:-1], at[-1]), (0.05,) * len(at)
        two_sided = tuple(level / 2 for level in each)
        wrong, unpaid = np.zeros(2), np.zeros(2)
        detected = 0
        margin = 3 * sd
        for studies in run.chunks():
            values = differences(rng, studies, at[-1], CARRY["decaying"])
            wrong += decided(values + margin, margin, at, spent)
            unpaid += decided(values + margin, margin, at, each)
            detected += decided(values, 0.0, at, two_sided)[1]
        setting = "looks at n = " + ", ".join(map(str, at))
        yield run.approximate(setting, "paid looks: false EQUIVALENT", wrong[0] / run.studies)
        yield run.approximate(setting, "paid looks: false DIFFERENT", wrong[1] / run.studies)
        if len(at) == 5:
            yield run.control(setting, "unpaid looks: false EQUIVALENT", unpaid[0] / run.studies, 0.10)
            yield run.control(setting, "unpaid looks: detections without an effect", detected / run.studies, 0.10)


QUESTION = Question(
    name="interim",
    title="May one look before all replicates are there?",
    meaning="Looks that the study declares share one error rate between them (O'Brien-Fleming spending): over all looks"
    " a definite verdict is wrong in 5 % of studies whose truth lies on the margin, 6.5 % at most since small "
    "samples are approximate. Looks that nobody declared, each at 5 %, err in more than twice as many: the "
    "control.",
    ask=ask,
)
