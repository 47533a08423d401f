"""CSV as rows: a header line, then one row for each; every value is text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from retrain_equivalence.data.problems import Problems, quoted
from retrain_equivalence.data.row_rules import RowRules, missing_field
from retrain_equivalence.data.source import Source, refuse
from retrain_equivalence.data.strict_json import RowFault, decode


def csv_objects(source: Source, rules: RowRules, found: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `(file:line, fields)`; the line is the row's last physical one, where a quoted field spans several.

    A row with more or fewer fields than the header is E-DATA-29 with its column. The `csv` module's own limit of
    128 KiB a field stands.
    """
    reader = csv.reader(_text_lines(source, rules, found), strict=True)
    header: list[str] | None = None
    while not found.full:
        try:
            values = next(reader, None)
        except csv.Error as error:
            number = 16 if "field larger" in str(error) else 29
            found.add(number, f"{source.shown}:{reader.line_num}", f"not valid CSV ({error})", "quote the field")
            return
        except RowFault as fault:
            found.add(fault.number, f"{source.shown}:{reader.line_num + 1}", fault.message, fault.fix)
            return
        if values is None:
            return
        place = f"{source.shown}:{reader.line_num}"
        if not values:
            continue
        if header is None:
            header = values
            for name in {name for name in values if values.count(name) > 1}:
                raise refuse(8, place, f"column {quoted(name)} appears twice", "keep one of them")
            for field in rules.fields:
                if field.name not in values:
                    raise refuse(3, place, *missing_field(field.name, values, rules))
            continue
        if len(values) != len(header):
            column = min(len(values), len(header)) + 1
            message = f"{len(values)} fields, the header has {len(header)}"
            found.add(29, f"{place}:{column}", message, "quote fields that hold commas or line breaks")
            continue
        yield place, dict(zip(header, values, strict=True))


def _text_lines(source: Source, rules: RowRules, found: Problems) -> Iterator[str]:
    for number, line in enumerate(source.lines(rules.max_row_bytes + 1), start=1):
        if number == 1 and line.startswith(b"\xef\xbb\xbf"):
            found.warn(11, f"{source.shown}:1", "a byte order mark was skipped")
            line = line[3:]
        if len(line) > rules.max_row_bytes:
            raise RowFault(16, f"line is over the limit of {rules.max_row_bytes / (1 << 20):g} MB", "shorten the row")
        yield decode(line)
