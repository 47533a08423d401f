"""The table of verdicts that `run` and `compare` print: one line per question and unlearning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrain_equivalence.equivalence.finding import Finding, Verdict

if TYPE_CHECKING:
    from rich.table import Table

_INTERIM = re.compile(r"interim(?: look [^)]*|: [^;)]*)")
"""What a reason says of a table that is not complete."""


def table(findings: Sequence[Finding]) -> Table:
    """Return counts of verdicts with the largest estimate of each group; `--json` has every finding."""
    from rich.table import Table

    interim = sorted({found[0] for f in findings if f.family and (found := _INTERIM.search(f.reason))})
    shown = Table("comparison", "unlearning", *(str(verdict) for verdict in Verdict), "largest", "bounds", "n")
    shown.caption = interim[0] if interim else None
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.verdict is not None:
            question = f"{finding.contrast} of {finding.probe}, {finding.quantity}"
            groups.setdefault((question, finding.unlearning or "(trained)"), []).append(finding)
    for (question, unlearning), group in groups.items():
        counts = [sum(finding.verdict is verdict for finding in group) for verdict in Verdict]
        known = [finding for finding in group if finding.estimate is not None]
        largest = max(known, key=lambda finding: abs(finding.estimate or 0.0), default=None)
        shown.add_row(question, unlearning, *(str(count) if count else "-" for count in counts), *_numbers(largest))
    return shown


def _numbers(finding: Finding | None) -> tuple[str, str, str]:
    if finding is None:
        return "undefined", "undefined", "0"
    interval = "undefined"
    if finding.decision_low is not None and finding.decision_high is not None:
        interval = f"{finding.decision_low:.3g} to {finding.decision_high:.3g}"
    where = f" ({finding.test_set})" if finding.test_set else ""
    return f"{finding.estimate:.3g} {finding.unit}{where}", interval, str(finding.n)
