"""From the table to the findings: `compare(frame, study)`.

Every number that the study can be asked for is described; a verdict stands only where a comparison declared it, so that
looking at more numbers never makes a verdict likelier. P-values are given for what was declared and corrected by Holm
within the declared family.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from retrain_equivalence.equivalence import (
    band,
    difference,
    forget_level,
    gap_growth,
    growth,
    improvement,
    natural_forgetting,
    oracle_distance,
    path_gap,
    recency,
    sign_flip,
)
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.finding import Finding, in_order
from retrain_equivalence.equivalence.holm import holm

if TYPE_CHECKING:
    import pandas as pd

    from retrain_equivalence.study.study import Study

CONTRASTS = (
    band,
    oracle_distance,
    improvement,
    path_gap,
    growth,
    gap_growth,
    forget_level,
    recency,
    difference,
    natural_forgetting,
)
"""One module per contrast; each has `findings(case)`."""


def compare(frame: pd.DataFrame, study: Study) -> list[Finding]:
    """Return the findings of a study, from its table alone.

    Args:
        frame: rows with the columns of `Row`, in any order.
        study: the study that made them; its comparisons, margins and replicates were fixed before.

    Returns:
        Findings in their canonical order; equal tables give equal findings, whatever the order of their rows.

    Raises:
        InputError: E-DATA-51 to -58 if the table is not one of this study.
    """
    return findings_of(Case(frame, study))


def findings_of(case: Case) -> list[Finding]:
    """Return the findings of a case that was read already."""
    return in_order(_corrected([finding for contrast in CONTRASTS for finding in contrast.findings(case)]))


def _corrected(findings: list[Finding]) -> list[Finding]:
    families: dict[str, list[int]] = {}
    for index, finding in enumerate(findings):
        if finding.family and finding.p_value is not None:
            families.setdefault(finding.family, []).append(index)
    for members in families.values():
        adjusted = holm([findings[index].p_value or 0.0 for index in members])
        needed = sign_flip.smallest_n(len(members))
        for index, value in zip(members, adjusted, strict=True):
            finding = findings[index]
            short = finding.p_method == "exact sign flip" and finding.n < needed
            findings[index] = replace(
                finding, p_holm=value, n_needed=max(needed, finding.n_needed or 0) if short else finding.n_needed
            )
    return findings
