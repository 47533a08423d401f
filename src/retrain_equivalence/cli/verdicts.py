"""The table of verdicts that `run` and `compare` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from retrain_equivalence.equivalence.finding import Finding


def table(findings: Sequence[Finding]) -> Table:
    """Return one line per finding with a verdict: what, where, estimate, interval, n, margin, verdict."""
    from rich.table import Table

    shown = Table(
        "contrast", "unlearning", "history", "test set", "estimate", "90 % interval", "n", "margin", "verdict"
    )
    for finding in findings:
        if finding.verdict is None:
            continue
        interval = "undefined"
        if finding.decision_low is not None and finding.decision_high is not None:
            interval = f"[{finding.decision_low:.3g}, {finding.decision_high:.3g}]"
        shown.add_row(
            f"{finding.contrast} {finding.quantity}",
            finding.unlearning or "(trained)",
            finding.history + (f" vs {finding.other}" if finding.contrast == "path_gap" else ""),
            finding.test_set or finding.probe,
            "undefined" if finding.estimate is None else f"{finding.estimate:.3g}",
            interval,
            str(finding.n),
            "" if finding.margin is None else f"{finding.margin:.3g}",
            str(finding.verdict.value),
        )
    return shown
