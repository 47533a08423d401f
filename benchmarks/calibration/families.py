"""Many tests: the chance of any false detection under Holm and under maxT.

Legend: M studies, R replicates, K contrasts, F flips.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from benchmarks.calibration.gates import CHECKED, Question, Row, Run, report, same
from benchmarks.calibration.sign_flips import p_of_differences
from benchmarks.calibration.worlds import ALL_ORDERS, scalars
from scipy import stats

from retrain_equivalence.equivalence import benjamini_hochberg, max_t, sign_flip
from retrain_equivalence.equivalence.holm import holm
from retrain_equivalence.equivalence.measurements import Floats

K = 12
EFFECT = 2.5


def contrasts(rng: np.random.Generator, studies: int, n: int, affected: int) -> Floats:
    """Return differences of neighbouring orders in a tree of 24, [M, R, K]; the last `affected` have an effect."""
    values = scalars(rng, ALL_ORDERS[: K + 1], studies, n)
    found = values[..., 1:] - values[..., :-1]
    found[..., K - affected :] += EFFECT
    return found


def p_of_t(differences_MRK: Floats) -> Floats:
    """Paired t-tests, [M, K]."""
    n = differences_MRK.shape[1]
    mean, sd = differences_MRK.mean(axis=1), differences_MRK.std(axis=1, ddof=1)
    found: Floats = 2 * stats.t.sf(np.abs(mean) / sd * np.sqrt(n), n - 1)
    return found


def by_max_t(differences_MRK: Floats) -> Floats:
    """`max_t.adjusted` of each study, [M, K]."""
    n = differences_MRK.shape[1]
    scale = np.sqrt(n * np.sum(differences_MRK**2, axis=1, keepdims=True))
    units = differences_MRK / scale
    highest_MF = np.abs(np.einsum("fr,mrk->mfk", sign_flip.flips(n, 0), units, optimize=True)).max(axis=2)
    observed = np.abs(units.sum(axis=1))
    found: Floats = np.mean(highest_MF[:, :, None] >= observed[:, None, :] - sign_flip.TIES, axis=1)
    return found


def ask(run: Run) -> Iterator[Row]:
    """Family-wise error with all and with half of the nulls true."""
    rng = run.rng
    for affected in (0, K // 2):
        true_nulls = K - affected
        for n in (6, 10):
            wrong = {"Holm over t-tests": 0, "Holm over sign flips": 0, "maxT": 0, "no correction": 0}
            found = dict.fromkeys(wrong, 0)
            false_share = 0.0
            for studies in run.chunks(250):
                differences = contrasts(rng, studies, n, affected)
                p_t = p_of_t(differences)
                by_bh = np.array([benjamini_hochberg.adjusted(p) for p in p_t.tolist()]) <= 0.05
                n_found = by_bh.sum(axis=1)
                false_share += float((by_bh[:, :true_nulls].sum(axis=1) / np.maximum(n_found, 1)).sum())
                p_flip = np.stack([p_of_differences(differences[..., k]) for k in range(K)], axis=1)
                for name, adjusted in (
                    ("Holm over t-tests", np.array([holm(p) for p in p_t.tolist()])),
                    ("Holm over sign flips", np.array([holm(p) for p in p_flip.tolist()])),
                    ("maxT", by_max_t(differences)),
                    ("no correction", p_t),
                ):
                    rejected = adjusted <= 0.05
                    wrong[name] += int(rejected[:, :true_nulls].any(axis=1).sum())
                    found[name] += int(rejected[:, true_nulls:].sum())
            setting = f"{true_nulls} of {K} without an effect, n = {n}"
            for name, count in wrong.items():
                tell = report if name == "no correction" else run.at_most
                yield tell(setting, f"{name}: any false detection", count / run.studies)
            yield run.at_most(setting, "BH over t-tests: false share of what is found", false_share / run.studies)
            if affected:
                for name in ("Holm over t-tests", "Holm over sign flips", "maxT"):
                    yield report(setting, f"{name}: effects found", found[name] / run.studies / affected)
    checked = contrasts(rng, CHECKED, 7, 3)
    batched = by_max_t(checked)
    worst = max(float(np.abs(max_t.adjusted(one) - batched[m]).max()) for m, one in enumerate(checked))
    yield same("maxT, n = 7", worst)


QUESTION = Question(
    name="families",
    title="How often does a family of tests find anything that is not there?",
    meaning=f"{K} differences between orders of one tree, tested together. A declared family may make one false "
    "detection or more in 5 % of studies. maxT flips whole replicates once for all tests and works from six "
    "replicates on; Holm over sign flips needs more (nine for twelve tests) and finds nothing before.",
    ask=ask,
)
