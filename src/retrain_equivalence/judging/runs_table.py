"""Reads a table of runs, CSV or Parquet, for results of any benchmark.

Columns: `group` (`unlearned`, `retrained` or `before`), `run` (a name, one for each model), `metric`, `item` (empty for
    the run's own number), `value` (empty where it is undefined). Other columns are not read. A run's number is its row
    without an item; where there is none, the mean over its items, and undefined if one of them is.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.judging.evaluation_log import FORGET_QUALITY, TRUTH_RATIO, metric_missing
from retrain_equivalence.judging.runs import Group, Run, Runs

COLUMNS: tuple[str, ...] = ("group", "run", "metric", "item", "value")
OWN = ""
"""The item of a run's own number."""

Table = dict[str, dict[Group, dict[str, dict[str, float | None]]]]
"""Metric -> group -> run -> item -> value."""


def read_table(path: Path, metric: str) -> Runs:
    """Return the runs of a table.

    Args:
        path: a file that ends in `.csv` or `.parquet`.
        metric: one of its metrics.

    Raises:
        InputError: E-DATA-140 if the file cannot be read, E-DATA-143 if it does not have the metric, E-DATA-144 if a
            value is no number, E-DATA-146 if a column, a group or a name is missing, E-DATA-147 if a row is there
            twice.
    """
    table: Table = {}
    for place, row in _rows(path):
        _enter(table, place, row)
    source = TRUTH_RATIO if metric == FORGET_QUALITY else metric
    if source not in table:
        raise InputError.of("E-DATA-143", str(path), *metric_missing(source, sorted(table)))
    runs = {group: tuple(_run(table, metric, group, name) for name in table[source].get(group, {})) for group in Group}
    for group in (Group.UNLEARNED, Group.RETRAINED):
        if not runs[group]:
            raise InputError.of(
                "E-DATA-146", str(path), f"has no {group} run of {source}", f"add rows with group {group}"
            )
    return Runs(
        metric=metric,
        unlearned=runs[Group.UNLEARNED],
        retrained=runs[Group.RETRAINED],
        before=runs[Group.BEFORE],
    )


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield place and cells of each row, as text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError.of("E-DATA-140", str(path), f"cannot be read ({error.strerror})", "name a table") from None
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, data)
        return
    if path.suffix != ".csv":
        raise InputError.of("E-DATA-140", str(path), "ends in neither .csv nor .parquet", "rename or convert it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError.of("E-DATA-140", str(path), f"byte {error.start} is not UTF-8", "save it as UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    _require(path, reader.fieldnames or ())
    try:
        for row in reader:
            place = f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                raise InputError.of("E-DATA-146", place, "has not as many cells as the head", "quote commas in names")
            yield place, row
    except csv.Error as error:
        raise InputError.of("E-DATA-146", f"{path}:{reader.line_num}", f"is not CSV ({error})", "save again") from None


def _parquet_rows(path: Path, data: bytes) -> Iterator[tuple[str, Mapping[str, str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowInvalid:
        raise InputError.of("E-DATA-140", str(path), "is no Parquet file", "fetch or write it again") from None
    _require(path, table.column_names)
    for number, row in enumerate(table.select(list(COLUMNS)).to_pylist(), start=1):
        yield f"{path}: row {number}", {name: "" if row[name] is None else str(row[name]) for name in COLUMNS}


def _require(path: Path, names: Sequence[str]) -> None:
    if missing := [name for name in COLUMNS if name not in names]:
        raise InputError.of(
            "E-DATA-146",
            str(path),
            f"has no column {', '.join(missing)} (has: {', '.join(names)})",
            f"name the columns {', '.join(COLUMNS)}",
        )


def _enter(table: Table, place: str, row: Mapping[str, str]) -> None:
    """Put one row where it belongs."""
    try:
        group = Group(row["group"])
    except ValueError:
        raise InputError.of(
            "E-DATA-146", place, f"group is {row['group']!r}", f"write one of {', '.join(Group)}"
        ) from None
    if not row["run"] or not row["metric"]:
        empty = "run" if not row["run"] else "metric"
        raise InputError.of("E-DATA-146", place, f"{empty} is empty", "every row names its run and its metric")
    items = table.setdefault(row["metric"], {}).setdefault(group, {}).setdefault(row["run"], {})
    if row["item"] in items:
        what = f"item {row['item']!r}" if row["item"] else "the run's own number"
        raise InputError.of("E-DATA-147", place, f"{what} of {group} {row['run']!r} is there twice", "keep one of them")
    try:
        value = float(row["value"]) if row["value"] else math.nan
    except ValueError:
        raise InputError.of(
            "E-DATA-144", place, f"value is {row['value']!r}, not a number", "leave it empty where it is undefined"
        ) from None
    items[row["item"]] = value if math.isfinite(value) else None


def _run(table: Table, metric: str, group: Group, name: str) -> Run:
    found = table[TRUTH_RATIO if metric == FORGET_QUALITY else metric][group][name]
    items = {item: value for item, value in found.items() if item != OWN}
    # A mean over the items that happen to be defined would be another quantity in every run.
    known = [value for value in items.values() if value is not None]
    mean = math.fsum(known) / len(known) if known and len(known) == len(items) else None
    ratios = table.get(TRUTH_RATIO, {}).get(group, {}).get(name, {})
    return Run(
        name=name,
        value=None if metric == FORGET_QUALITY else found.get(OWN, mean),
        items=items,
        truth_ratios={item: value for item, value in ratios.items() if item != OWN},
        logged_forget_quality=table.get(FORGET_QUALITY, {}).get(group, {}).get(name, {}).get(OWN),
    )
