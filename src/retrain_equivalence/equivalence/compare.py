"""From the table to the findings: `compare(frame, study)`.

Every number that the study can be asked for is described; a verdict stands only where a comparison declared it, so that
looking at more numbers never makes a verdict likelier. P-values are given for what was declared and corrected within
the declared family.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from retrain_equivalence.equivalence import (
    band,
    difference,
    distribution,
    excess_path_gap,
    forget_level,
    growth,
    improvement,
    natural_forgetting,
    oracle_bias,
    oracle_distance,
    path_gap,
    path_spread,
    recency,
    stopping_price,
)
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.families import corrected
from retrain_equivalence.equivalence.finding import Finding, in_order

if TYPE_CHECKING:
    import pandas as pd

    from retrain_equivalence.records.columns import Columns
    from retrain_equivalence.study.study import Study

CONTRASTS = (
    band,
    oracle_distance,
    oracle_bias,
    improvement,
    path_gap,
    excess_path_gap,
    path_spread,
    growth,
    stopping_price,
    forget_level,
    recency,
    difference,
    distribution,
    natural_forgetting,
)
"""One module per contrast; each has `findings(case)`."""


def compare(rows: pd.DataFrame | Columns, study: Study) -> list[Finding]:
    """Return the findings of a study, from its table alone.

    Args:
        rows: the table, in any order of its rows.
        study: the study that made them; its comparisons, margins and replicates were fixed before.

    Returns:
        Findings in their canonical order; equal tables give equal findings, whatever the order of their rows.

    Raises:
        InputError: E-DATA-51 to -58 if the table is not one of this study.
    """
    return findings_of(Case(rows, study))


def findings_of(case: Case) -> list[Finding]:
    """Return the findings of a case that was read already."""
    found = [finding for contrast in CONTRASTS for finding in contrast.findings(case)]
    if case.look is not None:
        said = case.look.says()
        found = [replace(f, reason=f"{f.reason} ({said})") if f.family and not f.missing else f for f in found]
    if not case.gives_tests:
        found = [replace(f, p_value=None, p_method="", p_equivalence=None) for f in found]
    return in_order(corrected(found, seed=case.study.seed, alpha=case.alpha))
