"""`trace`: from an id on a page back to the rows of the table that the number was computed from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrain_equivalence.cli import options

if TYPE_CHECKING:
    import pandas as pd

    from retrain_equivalence.equivalence.finding import Finding


KEYS = ("probe", "test_set", "history", "unlearning", "step", "status")
"""What rows are counted by."""


def trace(
    folder: options.Folder,
    number: Annotated[
        str, typer.Argument(metavar="ID", help="The id beside a number of the report.", show_default=False)
    ],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV instead of counts.")] = False,
    plugins: options.Plugins = None,
    as_json: options.AsJson = False,
) -> None:
    """Print a finding and the rows of rows.parquet behind it."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.core.errors import InputError
    from retrain_equivalence.equivalence.trace import probes_behind, rows_behind
    from retrain_equivalence.execution.results_folder import LOCK, read_findings
    from retrain_equivalence.objectives.catalogue import load_plugins
    from retrain_equivalence.study.load import load_study

    load_plugins(plugins or ())
    found = [finding for finding in read_findings(folder) if finding.id == number.strip().lower()]
    if not found:
        raise InputError.of(
            "E-DATA-82",
            str(folder),
            f"no finding has the id '{number}'",
            "copy the 8 digits beside a number of this folder's report.html",
        )
    study = load_study(folder / LOCK)
    probes = sorted({name for finding in found for name in probes_behind(finding)})
    frame = _rows(folder, probes)
    # One number against two margins is two findings of one id and the same rows.
    by_place = {_place(finding): rows_behind(finding, frame, study) for finding in found}
    if as_csv:
        import pandas as pd

        together = pd.concat(list(by_place.values()))
        together[~together.index.duplicated()].to_csv(sys.stdout, index=False, lineterminator="\n")
    elif as_json:
        from retrain_equivalence.core.identity import plain

        common.print_json([
            {"finding": plain(finding), "rows": _counts(by_place[_place(finding)])} for finding in found
        ])  # fmt: skip
    else:
        for finding in found:
            _print(finding, by_place[_place(finding)])


def _place(finding: Finding) -> tuple[Any, ...]:
    from retrain_equivalence.equivalence.finding import COORDINATES

    return tuple(getattr(finding, name) for name in COORDINATES)


def _rows(folder: Path, probes: list[str]) -> pd.DataFrame:
    """Read the rows of some probes: a long table does not fit where one number's rows do."""
    import pyarrow.parquet as pq

    from retrain_equivalence.execution.results_folder import ROWS, existing_file
    from retrain_equivalence.records.table import typed

    path = existing_file(folder / ROWS, "no results table there", "run the study first, or name its folder")
    return typed(pq.read_table(path, filters=[("probe", "in", probes)]).to_pandas())


def _counts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """How many rows there are of each probe, state and status."""
    import math

    groups: dict[tuple[Any, ...], list[tuple[int, float]]] = {}
    columns = ("probe", "item", "against", "history", "unlearning", "step", "status", "replicate", "value")
    for probe, item, against, history, unlearning, step, status, run, value in zip(
        *(rows[name].tolist() for name in columns), strict=True
    ):
        # The items of a scalar are many and name rows of a data set; those of a distance are its test sets.
        key = (probe, item if against else "", history, unlearning, step, status)
        groups.setdefault(key, []).append((run, value))
    found = []
    for key, members in sorted(groups.items()):
        values = [value for _, value in members if not math.isnan(value)]
        counts = {"rows": len(members), "replicates": len({run for run, _ in members})}
        mean = math.fsum(values) / len(values) if values else None
        found.append({**dict(zip(KEYS, key, strict=True)), **counts, "mean": mean})
    return found


def _print(finding: Finding, rows: pd.DataFrame) -> None:
    from dataclasses import fields

    from rich.table import Table

    from retrain_equivalence.cli import common
    from retrain_equivalence.equivalence.finding import WRITTEN

    console = common.answer()
    about = Table("field", "value", title=f"finding {finding.id}", title_justify="left")
    for field in fields(finding):
        value = getattr(finding, field.name) if field.name in WRITTEN else None
        if value not in (None, ""):
            about.add_row(field.name, str(value))
    console.print(about)
    behind = Table(
        *(name.replace("_", " ") for name in KEYS), "rows", "replicates", "mean",
        title=f"{len(rows):,} rows behind it", title_justify="left",
    )  # fmt: skip
    for line in _counts(rows):
        mean = "-" if line["mean"] is None else f"{line['mean']:.4g}"
        behind.add_row(*(str(line[k]) for k in list(line)[:-1]), mean)
    console.print(behind)
