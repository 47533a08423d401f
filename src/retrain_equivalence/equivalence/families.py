"""The correction of p-values within each declared family.

- The reserved family `exploratory` is corrected by Benjamini and Hochberg: a share of what it finds may be false.
- A family whose tests are all of paired means over the same complete replicates is corrected by maxT, which uses their
  dependence and needs 6 replicates however many tests there are.
- Any other family is corrected by Holm, which is valid for every mixture of tests.

The choice reads which runs there are and what was declared, never how large an effect is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from retrain_equivalence.equivalence import benjamini_hochberg, max_t, permutation, sign_flip, tost
from retrain_equivalence.equivalence.finding import ALPHA, Finding
from retrain_equivalence.equivalence.holm import holm
from retrain_equivalence.equivalence.measurements import Floats

EXPLORATORY = "exploratory"
"""The family of what is looked at without being claimed."""
HOLM, MAX_T, BH = "Holm", "maxT", "BH"
PAIRED = (tost.PAIRED_T, sign_flip.METHOD)
"""The tests of a mean of paired differences."""


def corrected(findings: Sequence[Finding], *, seed: int, alpha: float = ALPHA) -> list[Finding]:
    """Return the findings, in the order given, with `p_adjusted`, `p_adjustment` and the n that the correction needs.

    Args:
        findings: of one study; p-values outside a family stay as they are.
        seed: of sign flips, where these are drawn.
        alpha: the level that `n_needed` is about.
    """
    found = list(findings)
    families: dict[str, list[int]] = {}
    for index, finding in enumerate(found):
        if finding.family and finding.p_value is not None:
            families.setdefault(finding.family, []).append(index)
    for family, members in families.items():
        tested = [found[index] for index in members]
        name, adjusted = _adjusted(family, tested, seed, alpha)
        tests = len(members) if name == HOLM else 1
        for index, value in zip(members, adjusted, strict=True):
            finding = found[index]
            found[index] = replace(
                finding, p_adjusted=value, p_adjustment=name, n_needed=_needed(finding, alpha / tests)
            )
    return [finding if finding.sample_R is None else replace(finding, sample_R=None) for finding in found]


def _adjusted(family: str, tested: list[Finding], seed: int, alpha: float) -> tuple[str, list[float]]:
    p_values = [finding.p_value for finding in tested if finding.p_value is not None]
    if family == EXPLORATORY:
        return BH, benjamini_hochberg.adjusted(p_values)
    together = _together(tested, alpha)
    if together is None:
        return HOLM, holm(p_values)
    return MAX_T, max_t.adjusted(together, seed=seed).tolist()


def _together(tested: list[Finding], alpha: float) -> Floats | None:
    """Return the paired differences of several tests, [replicates, tests]; null where maxT does not apply."""
    samples = [finding.sample_R for finding in tested if finding.p_method in PAIRED and finding.sample_R is not None]
    if len(samples) < len(tested) or len(tested) < 2:
        return None
    differences_RK = np.array(samples, dtype=np.float64).T
    there_RK = np.isfinite(differences_RK)
    if np.any(there_RK != there_RK[:, :1]) or there_RK[:, 0].sum() < max_t.smallest_n(alpha):
        return None
    return differences_RK[there_RK[:, 0]]


def _needed(finding: Finding, level: float) -> int | None:
    """Return the replicates that the finding needs, given that its test must reach `level` before the correction."""
    if finding.p_method == sign_flip.METHOD:
        # Drawn flips stop at 1 in 10,000: more replicates do not help where Holm asks for less.
        least = sign_flip.smallest_n(1, level) if level * (sign_flip.DRAWS + 1) >= 1 else None
    elif finding.p_method == permutation.METHOD and finding.n_oracles is not None:
        least = permutation.needed(finding.n, finding.n_oracles, level)
    else:
        return finding.n_needed
    if least is None or finding.n >= least:
        return finding.n_needed
    return max(least, finding.n_needed or 0)
