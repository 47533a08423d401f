"""Path gaps: is a planted path effect estimated without bias, and nothing found where nothing is?

Legend: M studies, R replicates, H histories, D coordinates, K = 4 states of an excess gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import CHECKED, FEW_DIRECTIONS, Question, Row, Run, report, same
from benchmarks.calibration.sign_flips import p_of_kernels
from benchmarks.calibration.worlds import CARRY, POSITIONS, Order, half_squared, tree

from retrain_equivalence.equivalence import excess_path_gap, jackknife, sign_flip
from retrain_equivalence.equivalence.measurements import Floats
from retrain_equivalence.equivalence.squared_norm import noise_of_mean, of_squared_norm
from retrain_equivalence.equivalence.verdict import Rule

RANK = 20
EFFECT = 12.0
"""Planted squared gap `|E y_a - E y_b|^2 / 2`, beside a mean distance between seeds of 20."""
STATES: tuple[Order, ...] = (
    ("a", "forget", "b", "c", "ascent"),
    ("a", "b", "c"),
    ("b", "forget", "a", "c", "ascent"),
    ("b", "a", "c"),
)
"""Unlearned and oracle of one history, then of another."""
KNOWN_TO_ERR = (1, 20, 0.1)
"""Directions, replicates and gap in noises where 10 % say EQUIVALENT falsely: shown and not promised."""


def gap(one: Floats, two: Floats) -> tuple[batch.Jackknives, Floats, Floats]:
    """Return `G_ab`, the noise of the means in it, and `<delta_r, delta_s>` in the unit of the distance."""
    across, first, second = half_squared(one, two), half_squared(one, one), half_squared(two, two)
    of_first, of_second = batch.among_runs(first), batch.among_runs(second)
    found = batch.among_runs(across).plus(-0.5, of_first).plus(-0.5, of_second)
    kernels = 0.5 * (across + across.transpose(0, 2, 1) - first - second)
    at_most = 0.5 * (of_first.value_M + of_second.value_M) / one.shape[1]
    return found, batch.noise_of_mean(kernels, at_most), kernels


def excess(states_MRKD: Floats) -> tuple[batch.Jackknives, Floats]:
    """Return the debiased squared norm of `(u_a - o_a) - (u_b - o_b)`, and the noise of the means in it."""
    apart = sum(batch.among_runs(half_squared(x, x)).value_M for x in states_MRKD.transpose(2, 0, 1, 3))
    delta = np.einsum("k,mrkd->mrd", excess_path_gap.SIGNS_K, states_MRKD)
    kernels = 0.5 * delta @ delta.transpose(0, 2, 1)
    return batch.among_runs(kernels), batch.noise_of_mean(kernels, 0.5 * apart / states_MRKD.shape[1])


def agreement(rng: np.random.Generator) -> float:
    """Return the largest difference between batch and package: gap, its standard error, p-value, excess."""
    runs = tree(rng, POSITIONS[1:3], CHECKED, 6, dims=RANK)
    one, two = runs[:, :, 0], runs[:, :, 1]
    found, noise_M, kernels = gap(one, two)
    p_M, by_gap = p_of_kernels(kernels), batch.of_squared_norm(found, noise_M)
    states = tree(rng, STATES, CHECKED, 6, dims=RANK)
    by_excess = batch.of_squared_norm(*excess(states))
    worst = 0.0
    for m in range(CHECKED):
        x, y = one[m : m + 1], two[m : m + 1]
        across, first, second = half_squared(x, y)[0], half_squared(x, x)[0], half_squared(y, y)[0]
        seed = 0.5 * jackknife.among_runs(first) + 0.5 * jackknife.among_runs(second)
        number = jackknife.among_runs(across) - seed
        by_state = states[m].transpose(1, 0, 2)
        apart = np.square(by_state[:, None, :, None] - by_state[None, :, None]).sum(axis=-1)
        beyond = excess_path_gap.of_distances(0.5 * apart)
        for one_number, kernel, at_most, batched in (
            (number, 0.5 * (across + across.T - first - second), seed.value / 6, by_gap),
            (beyond.gap, beyond.kernel_RR, beyond.seed.value / 6, by_excess),
        ):
            alone = of_squared_norm(one_number, noise_of_mean(kernel, at_most), unit="", method="", undefined="")
            assert alone.value is not None and alone.se is not None
            worst = max(worst, abs(alone.value - batched.value_M[m]), abs(alone.se - batched.se_M[m]))
        worst = max(worst, abs(sign_flip.of_inner_products(kernels[m]) - float(p_M[m])))
    return worst


def ask(run: Run) -> Iterator[Row]:
    """Bias, verdicts at the margin, and detections without an effect."""
    rng = run.rng
    for noise, carry in CARRY.items():
        for n in (5, 6, 10):
            truths: dict[float, list[Floats]] = {0.0: [], EFFECT: []}
            raw: list[Floats] = []
            at_margin, detected, found_it, covered = np.zeros(3), 0, 0, 0
            for studies in run.chunks():
                runs = tree(rng, POSITIONS[1:3], studies, n, dims=RANK, carry=carry)
                one, two = runs[:, :, 0], 1.4 * runs[:, :, 1]
                for truth, errors in truths.items():
                    moved = one + math.sqrt(2 * truth / RANK)
                    number, noise_M, kernels = gap(moved, two)
                    estimates = batch.of_squared_norm(number, noise_M)
                    errors.append(number.value_M - truth)
                    rejected = int(np.sum(p_of_kernels(kernels) <= 0.05))
                    if truth:
                        at_margin += estimates.verdicts(truth, Rule.DISTANCE)
                        covered += estimates.covers(truth)
                        found_it += rejected
                    else:
                        detected += rejected
                        raw.append(np.einsum("mrd,mrd->m", one - two, one - two) / (2 * n))
            name, M = f"noise {noise}, n = {n}", run.studies
            yield run.unbiased(name, "G_ab: mean error, no effect", np.concatenate(truths[0.0]))
            yield run.unbiased(name, f"G_ab: mean error, effect {EFFECT:g}", np.concatenate(truths[EFFECT]))
            yield report(
                name, "mean equal-seed distance, no effect", float(np.mean(np.concatenate(raw))), percent=False
            )
            yield run.approximate(name, "false EQUIVALENT at the margin", at_margin[0] / M)
            yield run.approximate(name, "false DIFFERENT at the margin", at_margin[1] / M)
            yield report(name, "coverage of 95 % at the effect", covered / M)
            attainable = sign_flip.attainable_size(n)
            yield run.discrete(name, "sign flip: detections without an effect", detected / M, attainable)
            yield report(name, "sign flip: detections of the effect", found_it / M)
    yield from few_directions(run, rng)
    for n in (5, 10):
        for truth in (0.0, EFFECT):
            beyond: list[Floats] = []
            verdicts = np.zeros(3)
            for studies in run.chunks():
                states = tree(rng, STATES, studies, n, dims=RANK)
                states[:, :, 0] += math.sqrt(2 * truth / RANK) + 3.0
                states[:, :, 2] += 3.0
                number, noise_M = excess(states)
                estimates = batch.of_squared_norm(number, noise_M)
                beyond.append(number.value_M - truth)
                verdicts += estimates.verdicts(truth, Rule.DISTANCE)
            name = f"excess over the oracles' own gap, n = {n}"
            yield run.unbiased(name, "no effect" if not truth else f"effect {EFFECT:g}", np.concatenate(beyond))
            if truth:
                yield run.approximate(name, "false EQUIVALENT at the margin", verdicts[0] / run.studies)
                yield run.approximate(name, "false DIFFERENT at the margin", verdicts[1] / run.studies)
    yield same("path gap and excess, n = 6", agreement(rng))


def few_directions(run: Run, rng: np.random.Generator) -> Iterator[Row]:
    """Verdicts at the margin where runs scatter in few directions, and so squared norms far from normally."""
    for rank in (1, 2, 3):
        for n in (5, 10, 20):
            for share in (0.1, 0.5, 2.0):
                verdicts = np.zeros(3)
                for studies in run.chunks():
                    runs = tree(rng, POSITIONS[1:3], studies, n, dims=rank)
                    delta = runs[:, :, 0] - runs[:, :, 1]
                    scatter = float(np.square(delta - delta.mean(axis=1, keepdims=True)).sum()) / (studies * (n - 1))
                    truth = 0.5 * share * scatter
                    moved = runs[:, :, 0] + math.sqrt(2 * truth / rank)
                    number, noise_M, _ = gap(moved, runs[:, :, 1])
                    verdicts += batch.of_squared_norm(number, noise_M).verdicts(truth, Rule.DISTANCE)
                name = f"{rank} direction{'s' * (rank > 1)}, n = {n}, gap of {share:g} noises"
                gated = (rank, n, share) != KNOWN_TO_ERR
                for said, number_of in (("EQUIVALENT", verdicts[0]), ("DIFFERENT", verdicts[1])):
                    quantity, rate = f"false {said} at the margin", number_of / run.studies
                    yield run.approximate(name, quantity, rate, gated=gated, limit=FEW_DIRECTIONS)


QUESTION = Question(
    name="gaps",
    title="Is a planted path effect found at its size, and nothing where there is none?",
    meaning="Two histories whose mean predictions differ by a known amount, or not at all, share prefixes and vary "
    "unequally. The debiased gap G_ab must hit the truth on average; the distance of two runs of one replicate,"
    " shown beside it, does not. Without an effect the exact sign flip may detect one in 5 % of studies at "
    "most; from six replicates on it can detect at all. The excess gap takes the oracles' own path difference "
    "out. Where runs scatter in one to three directions, squared norms are far from normal: 7 % are allowed there, and "
    "one setting (one direction, 20 replicates, a gap of a tenth of the noise) errs more.",
    ask=ask,
)
