"""Recency: steps to an estimated level, with censored runs; their intervals and their tests.

Legend: M studies, R replicates, P positions (the last one is the last stage), T recorded steps, L = 1 + 3R levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from benchmarks.calibration import batch
from benchmarks.calibration.gates import CHECKED, Question, Row, Run, report, same
from benchmarks.calibration.sign_flips import p_of_differences
from benchmarks.calibration.worlds import ORACLE, POSITIONS, tree

from retrain_equivalence.equivalence import estimated_level, gehan, recency, sign_flip
from retrain_equivalence.equivalence.measurements import Floats

TIMES_T = np.arange(0.0, 41.0, 4.0)
NAMES = ("first", "second", "third", "last")
P = len(POSITIONS)
HOLDS = 3
"""Replicates from which the jackknife with an estimated level covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Losses that rise from a start at a speed; all positions alike, or the last one behind and slower."""

    start_P: tuple[float, ...] = (1.0,) * P
    speed_P: tuple[float, ...] = (0.1,) * P
    level: float = 3.0
    start_sd: float = 0.3

    def losses(self, rng: np.random.Generator, studies: int, n: int) -> tuple[Floats, Floats]:
        """Return the recorded losses, [M, R, P, T], and those of the oracle, [M, R]: nats/token."""
        noise = tree(rng, (*POSITIONS, ORACLE), studies, n, dims=2)
        starts = np.array(self.start_P) + self.start_sd * noise[:, :, :P, 0]
        speeds = np.array(self.speed_P) * np.exp(0.15 * noise[:, :, :P, 1])
        wiggle = 0.03 * rng.standard_normal((studies, n, P, len(TIMES_T)))
        losses = starts[..., None] + speeds[..., None] * TIMES_T * (1 + 0.01 * TIMES_T) + wiggle
        return losses, self.level + 0.2 * noise[:, :, P, 0]


ALIKE = World()
BEHIND = World(start_P=(1.4, 1.2, 1.1, 0.8), speed_P=(0.1, 0.1, 0.1, 0.08))
FAR = World(level=6.5)
"""A level that about half of the runs have not reached by the last step."""
NEAR = World(level=1.3, start_sd=0.4)
"""A level that some runs have passed before unlearning."""


def levels(oracle_MR: Floats) -> Floats:
    """Return `estimated_level.mean_of_oracles` of each study, [L, M]."""
    n = oracle_MR.shape[1]
    mean = oracle_MR.mean(axis=1)
    without = ((n * mean[:, None] - oracle_MR) / (n - 1)).T
    return np.concatenate([mean[None], without, np.repeat(mean[None], n, axis=0), without])


def restricted(losses_MRPT: Floats, levels_LM: Floats) -> Floats:
    """Return `min(tau, T)` of each run at each level of its study, [L, M, R, P]."""
    M, R, _, T = losses_MRPT.shape
    at = np.repeat(levels_LM, R * P, axis=1)
    found = recency.first_crossing(TIMES_T, losses_MRPT.reshape(-1, T), at)
    steps: Floats = np.minimum(found, TIMES_T[-1]).reshape(len(levels_LM), M, R, P)
    return steps


def parts(losses_MRPT: Floats, oracle_MR: Floats) -> dict[str, Floats]:
    """Return total and head start of the last position against the mean of the earlier ones, [L, M, R]."""
    at_LM = levels(oracle_MR)
    M, R, _, T = losses_MRPT.shape
    steps = restricted(losses_MRPT, at_LM)
    total = steps[..., -1] - steps[..., :-1].mean(axis=-1)
    starts = losses_MRPT[..., 0]
    at = np.repeat(at_LM, R, axis=1)
    heads = []
    for q in range(P - 1):
        own, other = starts[..., -1].reshape(-1), starts[..., q].reshape(-1)
        last, earlier = losses_MRPT[:, :, -1].reshape(-1, T), losses_MRPT[:, :, q].reshape(-1, T)
        ahead = recency.first_crossing(TIMES_T, last, np.minimum(other, at))
        behind = recency.first_crossing(TIMES_T, earlier, np.minimum(own, at))
        heads.append(np.where(other >= own, np.minimum(ahead, TIMES_T[-1]), -np.minimum(behind, TIMES_T[-1])))
    head_start = np.mean(heads, axis=0).reshape(len(at_LM), M, R)
    return {"total": total, "head start": head_start, "speed": total - head_start}


def jackknifed(values_LMR: Floats) -> batch.Jackknives:
    """`estimated_level.jackknifed` of each study, with every run and every oracle in it."""
    R = values_LMR.shape[2]
    joint, own, oracle = (values_LMR[1 + k * R : 1 + (k + 1) * R].transpose(1, 0, 2) for k in range(3))
    apart = 1.0 - np.eye(R)
    return batch.Jackknives(
        value_M=values_LMR[0].mean(axis=1),
        joint_MN=(joint * apart).sum(axis=2) / (R - 1),
        own_MN=(own * apart).sum(axis=2) / (R - 1),
        oracle_MN=oracle.mean(axis=2),
        runs_N=np.ones(R, dtype=bool),
        oracles_N=np.ones(R, dtype=bool),
    )


def agreement(rng: np.random.Generator) -> float:
    """Return the largest difference between batch and `recency.parts_of`: the declared contrast and its parts."""
    losses, oracles = BEHIND.losses(rng, CHECKED, 6)
    batched = {name: jackknifed(values).estimates() for name, values in parts(losses, oracles).items()}
    worst = 0.0
    for m in range(CHECKED):
        level = estimated_level.mean_of_oracles(oracles[m])
        assert level is not None
        paths = {
            name: recency.Trajectory(times_T=TIMES_T, losses_RT=losses[m, :, p], censored=set())
            for p, name in enumerate(NAMES)
        }
        found = recency.parts_of(paths, dict.fromkeys(NAMES, level), {p: [name] for p, name in enumerate(NAMES)})
        # Head start and speed are of the replicates in which every run got there: compared where all did.
        for part in found[: 1 if found[0].not_reached else 3]:
            one, many = part.estimate, batched[part.part.replace("_", " ")]
            assert one.value is not None and one.se is not None and part.earlier is None
            worst = max(worst, abs(one.value - many.value_M[m]), abs(one.se - many.se_M[m]))
    return worst


def truths(rng: np.random.Generator, world: World) -> dict[str, float]:
    """Return the true parts: means over many runs at the true level."""
    losses, _ = world.losses(rng, 40_000, 1)
    at_level = np.full((40_000, 1), world.level)
    with np.errstate(all="ignore"):
        found = parts(losses, np.concatenate([at_level, at_level], axis=1))
    return {name: float(values[0].mean()) for name, values in found.items()}


def signs(losses_MRPT: Floats, oracle_MR: Floats) -> Floats:
    """Return the mean paired Gehan sign of the last position against the earlier ones, [M, R]."""
    M, R, _, T = losses_MRPT.shape
    at = np.repeat(levels(oracle_MR)[:1], R * P, axis=1)
    taus = recency.first_crossing(TIMES_T, losses_MRPT.reshape(-1, T), at).reshape(-1, P)
    found = [gehan.paired(taus[:, -1], taus[:, q], float(TIMES_T[-1])).signs_R for q in range(P - 1)]
    means: Floats = np.mean(found, axis=0).reshape(M, R)
    return means


def ask(run: Run) -> Iterator[Row]:
    """Coverage of the parts by number of replicates; sizes of the tests with and without censored runs."""
    rng = run.rng
    for label, world in (("all alike", ALIKE), ("the last behind and slower", BEHIND)):
        truth = truths(rng, world)
        for n in (3, 5, 8, 10, 20):
            covered = dict.fromkeys(truth, 0)
            for studies in run.chunks(250):
                losses, oracles = world.losses(rng, studies, n)
                for name, values in parts(losses, oracles).items():
                    covered[name] += jackknifed(values).estimates().covers(truth[name])
            for name, count in covered.items():
                quantity = f"{name}: coverage of 95 %"
                yield run.coverage(f"{label}, n = {n}", count / run.studies, quantity=quantity, gated=n >= HOLDS)
    for label, world in (("every run reaches the level", ALIKE), ("half do not", FAR), ("some begin past it", NEAR)):
        for n in (6, 8, 10):
            by_total = by_sign = by_pair = by_t = 0
            not_there = 0.0
            for studies in run.chunks(500):
                losses, oracles = world.losses(rng, studies, n)
                steps = restricted(losses, levels(oracles)[:1])[0]
                total = steps[..., -1] - steps[..., :-1].mean(axis=-1)
                by_total += int(np.sum(p_of_differences(total) <= 0.05))
                found = batch.of_sample(total)
                by_t += studies - found.covers(0.0)
                not_there += float(np.mean((steps >= TIMES_T[-1]) | (steps <= 0))) * studies
                by_sign += int(np.sum(p_of_differences(signs(losses, oracles)) <= 0.05))
                for one in steps[:, :, [0, -1]]:
                    p = gehan.paired(one[:, 1], one[:, 0], float(TIMES_T[-1]) - 1e-9).p_value
                    by_pair += p is not None and p <= 0.05
            setting, M = f"{label}, n = {n}", run.studies
            yield report(setting, "runs at an end of what was recorded", not_there / M)
            if world is ALIKE:
                attainable = sign_flip.attainable_size(n)
                yield run.discrete(setting, "sign flip of totals: detections", by_total / M, attainable)
            else:
                yield report(setting, "sign flip of totals: detections", by_total / M)
            yield run.at_most(setting, "Gehan signs, flipped: detections", by_sign / M)
            yield run.at_most(setting, "Gehan, two histories: detections", by_pair / M)
            yield run.approximate(setting, "t of restricted steps: detections", by_t / M)
    yield same("last against earlier, n = 6", agreement(rng))


QUESTION = Question(
    name="recent",
    title="Steps to a level: do intervals cover, and are the tests exact with runs that never get there?",
    meaning="Losses rise to the oracles' mean level, which is estimated from the same replicates. Total, head start and"
    " speed of the last position against the earlier ones should be covered in 95 % of studies. Under no "
    "recency the tests should find it in 5 % of studies at most, also where half of the runs do not reach the "
    "level by the last step or some begin past it: the time of such a run is known from one side only. The "
    "package then flips Gehan signs, which ask no more; flipping the totals themselves is exact only where "
    "every run reached the level, and is shown for comparison.",
    ask=ask,
)
