"""`summary.csv`: the findings as a spreadsheet, one a line.

A text cell whose first character (after blanks, no-break spaces and quotes, or after an embedded newline) is one of
`= + - @ TAB CR` gets a leading apostrophe, so that a spreadsheet shows it instead of computing it; numbers are written
from numbers only. An empty cell is a null.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import fields

from retrain_equivalence.equivalence.finding import Finding, in_order

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


def summary_csv(findings: Iterable[Finding]) -> str:
    """Return the table as CSV text with a header line, `\\n` line ends, findings in canonical order."""
    names = [field.name for field in fields(Finding)]
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(names)
    for finding in in_order(findings):
        writer.writerow([cell(getattr(finding, name)) for name in names])
    return sink.getvalue()
