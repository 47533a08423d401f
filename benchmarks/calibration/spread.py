"""Order or noise: components of variance between histories and between seeds, their intervals and their test.

Legend: M studies, R replicates, H histories.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import APPROXIMATE, CHECKED, FEW_DIRECTIONS, Question, Row, Run, report, same
from benchmarks.calibration.sign_flips import p_of_contrasts
from benchmarks.calibration.worlds import ALL_ORDERS, CARRY, POSITIONS, Order, half_squared, scalars, tree

from retrain_equivalence.equivalence import path_spread, sign_flip
from retrain_equivalence.equivalence.measurements import Floats
from retrain_equivalence.equivalence.verdict import Rule

LAYOUTS: dict[str, tuple[Order, ...]] = {"4 positions": POSITIONS, "24 orders": ALL_ORDERS}


def components(values_MRH: Floats) -> dict[str, batch.Jackknives]:
    """Return the history component, the seed component and their ratio; `path_spread.of_scalars` of each study."""
    centred = values_MRH - values_MRH.mean(axis=2, keepdims=True)
    history = batch.among_runs(centred @ centred.transpose(0, 2, 1) / (values_MRH.shape[2] - 1))
    squares = np.square(values_MRH[:, :, None] - values_MRH[:, None]).mean(axis=-1)
    seed = batch.among_runs(0.5 * squares)
    ratio = batch.Jackknives(
        value_M=history.value_M / seed.value_M,
        joint_MN=history.joint_MN / seed.joint_MN,
        own_MN=history.own_MN / seed.own_MN,
        oracle_MN=history.oracle_MN / seed.oracle_MN,
        runs_N=history.runs_N,
        oracles_N=history.oracles_N,
    )
    return {"history": history, "seed": seed, "ratio": ratio}


def noise_of_means(values_MRH: Floats) -> Floats:
    """Return `MS_HR / n`: how far the histories' means vary by noise alone."""
    _, R, H = values_MRH.shape
    centred = values_MRH - values_MRH.mean(axis=2, keepdims=True)
    left = centred - centred.mean(axis=1, keepdims=True)
    found: Floats = np.square(left).sum(axis=(1, 2)) / ((H - 1) * (R - 1) * R)
    return found


def agreement(rng: np.random.Generator) -> float:
    """Return the largest difference between batch and package."""
    values = scalars(rng, POSITIONS, CHECKED, 6)
    found = components(values)
    noise_M = noise_of_means(values)
    history = batch.of_squared_norm(found["history"], noise_M)
    p_M = p_of_contrasts(values)
    worst = 0.0
    for m in range(CHECKED):
        alone = path_spread.of_scalars(values[m].T)
        assert alone.p_value is not None
        worst = max(worst, abs(alone.p_value - float(p_M[m])))
        worst = max(worst, abs(alone.seed.value - float(found["seed"].value_M[m])))
        worst = max(worst, abs(alone.ratio.value - float(found["ratio"].value_M[m])))
        one = alone.of_history("")
        assert one.value is not None and one.se is not None
        worst = max(worst, abs(one.value - history.value_M[m]), abs(one.se - history.se_M[m]))
    return worst


def seed_component(rng: np.random.Generator, orders: tuple[Order, ...], carry: float) -> float:
    """Return the true seed component, from many runs."""
    values = scalars(rng, orders, 1, 200_000 // len(orders), carry=carry)
    return float(values.var(axis=1, ddof=1).mean())


def ask(run: Run) -> Iterator[Row]:
    """Bias of the history component, size of the omnibus test, and what the intervals of the components are worth."""
    rng = run.rng
    carry = CARRY["growing"]
    for layout, orders in LAYOUTS.items():
        H = len(orders)
        seeds = seed_component(rng, orders, carry)
        for share in (0.0, 0.25, 1.0):
            means = np.linspace(-1, 1, H)
            means *= np.sqrt(share * seeds / means.var(ddof=1))
            truth = share * seeds
            for n in (3, 5, 8, 10, 20):
                by_ratio = by_history = plain = rejected = 0
                verdicts, on_own_scale = np.zeros(3), np.zeros(3)
                errors: list[Floats] = []
                for studies in run.chunks(500):
                    values = scalars(rng, orders, studies, n, carry=carry) + means
                    found, noise_M = components(values), noise_of_means(values)
                    history = batch.of_squared_norm(found["history"], noise_M)
                    by_history += history.covers(truth)
                    verdicts += history.verdicts(truth, Rule.DISTANCE)
                    by_ratio += batch.of_squared_norm(found["ratio"], noise_M / found["seed"].value_M).covers(share)
                    unscaled = found["history"].estimates()
                    plain += unscaled.covers(truth)
                    on_own_scale += unscaled.verdicts(truth, Rule.DISTANCE)
                    errors.append(unscaled.value_M - truth)
                    if not share and 6 <= n <= 10:
                        rejected += int(np.sum(p_of_contrasts(values) <= 0.05))
                M = run.studies
                setting = f"{layout}, ratio {share:g}, n = {n}"
                yield run.unbiased(setting, "history component: mean error", np.concatenate(errors))
                if not share and 6 <= n <= 10:
                    size = sign_flip.attainable_size(n)
                    yield run.discrete(setting, "omnibus: detections without an effect", rejected / M, size)
                high = 0.96 + run.widening(0.05) if share == 1 else None
                covered = by_history / M
                low = 0.94 - run.widening(0.05) if n >= 5 else None
                quantity = "history component: coverage of 95 %"
                yield Row(setting=setting, quantity=quantity, value=covered, low=low, high=high if low else None)
                if share:
                    gated = n >= 5
                    yield run.approximate(setting, "false EQUIVALENT at the margin", verdicts[0] / M, gated=gated)
                    yield run.approximate(setting, "false DIFFERENT at the margin", verdicts[1] / M, gated=gated)
                yield report(setting, "an interval of the ratio would cover", by_ratio / M)
                yield report(setting, "coverage of 95 % without the shifted log", plain / M)
                if share:
                    quantity = "false EQUIVALENT without the shifted log"
                    yield report(setting, quantity, on_own_scale[0] / M)
    yield from of_vectors(run, rng)
    yield same("4 positions, n = 6", agreement(rng))


def of_vectors(run: Run, rng: np.random.Generator) -> Iterator[Row]:
    """Verdicts on the spread of predictions, whose noise is taken from inner products; few directions are hardest."""
    H = len(POSITIONS)
    for rank in (1, 3, 20):
        means_H = np.linspace(-1, 1, H)
        for n in (5, 10):
            for share in (0.25, 1.0):
                verdicts = np.zeros(3)
                for studies in run.chunks(500):
                    values = tree(rng, POSITIONS, studies, n, dims=rank, carry=CARRY["growing"])
                    seeds = float(values.var(axis=1, ddof=1).sum(axis=-1).mean())
                    truth = share * seeds
                    moved = values + (means_H * math.sqrt(truth / rank / means_H.var(ddof=1)))[:, None]
                    centred = moved - moved.mean(axis=2, keepdims=True)
                    kernels = np.einsum("mrhd,mshd->mrs", centred, centred) / (H - 1)
                    own = np.stack([batch.among_runs(half_squared(x, x)).value_M for x in moved.transpose(2, 0, 1, 3)])
                    noise = batch.noise_of_mean(kernels, own.mean(axis=0) / n)
                    estimates = batch.of_squared_norm(batch.among_runs(kernels), noise)
                    verdicts += estimates.verdicts(truth, Rule.DISTANCE)
                name = f"predictions in {rank} direction{'s' * (rank > 1)}, ratio {share:g}, n = {n}"
                for said, number_of in (("EQUIVALENT", verdicts[0]), ("DIFFERENT", verdicts[1])):
                    quantity, rate = f"false {said} at the margin", number_of / run.studies
                    yield run.approximate(name, quantity, rate, limit=FEW_DIRECTIONS if rank < 20 else APPROXIMATE)


QUESTION = Question(
    name="spread",
    title="Order or noise: are the components right?",
    meaning="How much histories vary beside how much seeds of one history vary. The estimates are unbiased whatever "
    "histories share, and the omnibus sign flip is exact. From five replicates on the interval of the history "
    "component, on the scale log(component + 2 MS_HR / n) with the second part held fixed, covers in 94 % of "
    "studies or more, and in more than 96 % where the component is small. On its own scale it would be too "
    "short on the side that says EQUIVALENT, as the last columns show. The seed component is a yardstick "
    "without an interval, and so is the ratio, whose interval would miss 94 % where both components are alike.",
    ask=ask,
)
