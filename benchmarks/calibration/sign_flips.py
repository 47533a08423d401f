"""Exact sign flips of whole replicates: is their size what the number of flips allows?

Legend: M studies, R replicates, H histories, F flips.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from benchmarks.calibration.gates import CHECKED, Question, Row, Run, report, same
from benchmarks.calibration.worlds import ALL_ORDERS, CARRY, POSITIONS, scalars

from retrain_equivalence.equivalence import sign_flip
from retrain_equivalence.equivalence.measurements import Floats

COLLAPSED = 0.15
"""Share of collapsed runs."""


def _shares(statistics_MF: Floats) -> Floats:
    slack = sign_flip.TIES * np.maximum(np.abs(statistics_MF).max(axis=1, keepdims=True), np.finfo(float).tiny)
    found: Floats = np.mean(statistics_MF >= statistics_MF[:, :1] - slack, axis=1)
    return found


def p_of_differences(differences_MR: Floats) -> Floats:
    """`sign_flip.of_differences` of each study."""
    return _shares(np.abs(differences_MR @ sign_flip.flips(differences_MR.shape[1], 0).T))


def p_of_kernels(kernels_MRR: Floats) -> Floats:
    """`sign_flip.of_inner_products` of each study."""
    R = kernels_MRR.shape[1]
    signs_FR = sign_flip.flips(R, 0)
    above = np.triu_indices(R, 1)
    products_FP = signs_FR[:, above[0]] * signs_FR[:, above[1]]
    both = kernels_MRR + kernels_MRR.transpose(0, 2, 1)
    return _shares(both[:, above[0], above[1]] @ products_FP.T)


def p_of_contrasts(values_MRH: Floats) -> Floats:
    """`sign_flip.of_contrasts` of each study."""
    centred = values_MRH - values_MRH.mean(axis=2, keepdims=True)
    return p_of_kernels(centred @ centred.transpose(0, 2, 1))


def by_label_permutation(rng: np.random.Generator, values_MRH: Floats, draws: int = 199) -> tuple[Floats, Floats]:
    """Return p-values of relabelling histories within each replicate: omnibus, and trend over position."""
    position = np.array([order.index("forget") for order in ALL_ORDERS], dtype=np.float64)
    trend = position - position.mean()
    centred = values_MRH - values_MRH.mean(axis=2, keepdims=True)

    def statistics(values: Floats) -> tuple[Floats, Floats]:
        means = values.mean(axis=1)
        return (means**2).sum(axis=1), np.abs(means @ trend)

    omnibus, slope = statistics(centred)
    larger = np.zeros((2, len(values_MRH)))
    for _ in range(draws):
        relabelled = rng.permuted(centred, axis=2)
        now = statistics(relabelled)
        larger[0] += now[0] >= omnibus
        larger[1] += now[1] >= slope
    return (larger[0] + 1) / (draws + 1), (larger[1] + 1) / (draws + 1)


def collapsed(rng: np.random.Generator, values: Floats) -> Floats:
    """Return the scores where some runs have collapsed to a value far away."""
    return np.where(rng.random(values.shape) < COLLAPSED, values - 8.0, values)


def agreement(rng: np.random.Generator) -> float:
    """Return the largest difference of p-values between batch and package."""
    values = scalars(rng, ALL_ORDERS, CHECKED, 7)
    differences = values[..., 0] - values[..., 1]
    by_difference, by_contrast = p_of_differences(differences), p_of_contrasts(values)
    worst = 0.0
    for m in range(CHECKED):
        worst = max(
            worst,
            abs(sign_flip.of_differences(differences[m]) - by_difference[m]),
            abs(sign_flip.of_contrasts(values[m].T) - by_contrast[m]),
        )
    return worst


def ask(run: Run) -> Iterator[Row]:
    """Sizes of the sign flip of one difference and of all histories together; the control that permutes labels."""
    rng = run.rng
    for n in (5, 6, 7, 8, 10, 12):
        rejected = with_collapse = 0
        for studies in run.chunks():
            values = scalars(rng, POSITIONS, studies, n)
            rejected += int(np.sum(p_of_differences(values[..., 3] - values[..., :3].mean(axis=2)) <= 0.05))
            values = collapsed(rng, scalars(rng, POSITIONS[1:3], studies, n, unequal=False))
            with_collapse += int(np.sum(p_of_differences(values[..., 1] - values[..., 0]) <= 0.05))
        attainable = sign_flip.attainable_size(n)
        yield run.discrete(f"n = {n}", "last against earlier positions", rejected / run.studies, attainable)
        setting = f"{COLLAPSED:.0%} collapsed runs"
        yield run.discrete(f"n = {n}", f"two histories, {setting}", with_collapse / run.studies, attainable)
    for noise, carry in CARRY.items():
        for n in (6, 10):
            rejected = 0
            for studies in run.chunks(500):
                rejected += int(np.sum(p_of_contrasts(scalars(rng, ALL_ORDERS, studies, n, carry=carry)) <= 0.05))
            quantity = f"all 24 orders, noise {noise}"
            yield run.discrete(f"n = {n}", quantity, rejected / run.studies, sign_flip.attainable_size(n))
    yield same("differences and 24 orders, n = 7", agreement(rng))
    fewer = run.some(10)
    for n in (6, 10):
        wrong = np.zeros(2)
        for studies in fewer.chunks(200):
            values = scalars(rng, ALL_ORDERS, studies, n, carry=CARRY["growing"], unequal=False)
            wrong += [np.sum(p <= 0.05) for p in by_label_permutation(rng, values)]
        setting = f"n = {n}, {fewer.studies:,} studies"
        yield report(setting, "labels permuted within replicates: any order", wrong[0] / fewer.studies)
        yield fewer.control(setting, "labels permuted within replicates: trend", wrong[1] / fewer.studies, 0.08)


QUESTION = Question(
    name="sign_flips",
    title="Do the exact sign flips reject as often as their number of flips allows?",
    meaning="No order has an effect. With n replicates there are 2^(n-1) sign flips, so the test cannot reject in "
    "exactly 5 % of studies: 0 at n = 5, 3.1 % at n = 6, 4.7 % at n = 7 to 9, 4.9 % at n = 10. It must come "
    "within 0.8 points of that, whatever the histories share. The control permutes the orders' labels within "
    "each replicate, which takes runs with common prefixes for exchangeable.",
    ask=ask,
)
