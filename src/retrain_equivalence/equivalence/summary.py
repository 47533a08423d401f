"""`summary.csv`: the findings that answer the study, as a spreadsheet of some hundred lines.

What is in it: every declared comparison where its answer stands (at the end, at equal forgetting, over a window) and,
declared or not, what each unlearning did to each history by its last step. Steps on the way, the other distances and
descriptions are in `findings.json`, which has everything.

A text cell whose first character (after blanks, no-break spaces and quotes, or after an embedded newline) is one of
`= + - @ TAB CR` gets a leading apostrophe, so that a spreadsheet shows it instead of computing it; numbers are written
from numbers only. An empty cell is a null.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from retrain_equivalence.equivalence.declared import PRIMARY_MEASURE, measure_of
from retrain_equivalence.equivalence.finding import Finding, in_order
from retrain_equivalence.equivalence.measurements import LABEL_MARGIN

COLUMNS = (
    "contrast", "quantity", "probe", "test_set", "unlearning", "history", "other", "alignment", "step", "estimate",
    "low", "high", "unit", "n", "margin", "margin_kind", "decision_low", "decision_high", "verdict", "p_adjusted",
    "p_adjustment", "n_needed", "censored", "failed", "unscored", "missing", "reason",
)  # fmt: skip
"""Fields of a finding, in the order of the sheet."""

MOST_OF_A_KIND = 12
"""Of more numbers that answer one question on one test set, the largest are listed: 24 orders have 276 pairs."""

_FORMULA = re.compile(r"(?:^|[\r\n])[ \u00a0'\"]*[=+\-@\t\r]")


def cell(value: object) -> str:
    """Return what is written for one value.

    >>> cell("=1+1"), cell(-0.5), cell(None)
    ("'=1+1", '-0.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return repr(value)
    text = str(value)
    return f"'{text}" if _FORMULA.search(text) else text


def _is_declared(finding: Finding) -> bool:
    return (finding.verdict is not None or bool(finding.family)) and finding.alignment != "at_step"


def _is_end_value(finding: Finding) -> bool:
    """Whether a finding says, of one unlearning and history, what was so at the last step."""
    if finding.contrast == "oracle_distance":
        primary = measure_of(finding.probe) == PRIMARY_MEASURE
        return finding.quantity == "D_ho/D_oo" and finding.alignment == "at_end" and primary
    if finding.contrast == "difference":
        # Label margins are read as laws: their means say what expected losses say.
        return finding.alignment == "at_end" and not finding.probe.startswith(f"{LABEL_MARGIN}:")
    if finding.contrast == "recency":
        return finding.quantity == "tau(oracle)" or (
            finding.quantity.endswith("(oracle)") and finding.other == "mean of earlier"
        )
    return finding.contrast == "band" and finding.quantity == "D_oo" and measure_of(finding.probe) == PRIMARY_MEASURE


def summarised(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings of the sheet, in canonical order."""
    kinds: dict[tuple[str, ...], list[Finding]] = {}
    for f in findings:
        if _is_declared(f) or _is_end_value(f):
            kind = (f.contrast, f.quantity, f.probe, f.test_set, f.unlearning, f.alignment, f.family, f.margin_kind)
            kinds.setdefault((*kind, repr(f.margin)), []).append(f)
    chosen: list[Finding] = []
    for group in kinds.values():
        largest = sorted(in_order(group), key=lambda f: -abs(f.estimate) if f.estimate is not None else 0.0)
        chosen += largest[:MOST_OF_A_KIND]
    return in_order(chosen)


def summary_csv(findings: Iterable[Finding]) -> str:
    """Return the sheet as CSV text with a header line, `\\n` line ends, findings in canonical order."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(COLUMNS)
    for finding in summarised(findings):
        writer.writerow([cell(getattr(finding, name)) for name in COLUMNS])
    return sink.getvalue()
