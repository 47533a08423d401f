"""`judge`: others' results, from open-unlearning's logs or a table of runs, against runs that were retrained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from retrain_equivalence.cli import options

GROUPS = ("--unlearned", "--retrained", "--before")


class Groups(TyperCommand):
    """A command whose groups take any number of files, as a shell's pattern gives them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat a group's option before each of its files; then parse."""
        repeated, group = [], ""
        for word in args:
            if word.startswith("-"):
                group = word if word in GROUPS else ""
                repeated += [] if group else [word]
            else:
                repeated += [group, word] if group else [word]
        return super().parse_args(ctx, repeated)


def judge(
    metric: Annotated[str, typer.Option("--metric", help="What is judged; NAME:FIELD for another field of items.")],
    margin: Annotated[float, typer.Option("--margin", help="The largest difference that does not matter, above 0.")],
    rationale: Annotated[str, typer.Option("--rationale", help="Why that margin; printed beside the verdict.")],
    unlearned: Annotated[
        list[Path] | None, typer.Option("--unlearned", metavar="FILE...", help="Logs of unlearned models, or folders.")
    ] = None,
    retrained: Annotated[
        list[Path] | None, typer.Option("--retrained", metavar="FILE...", help="Logs of retrained models, or folders.")
    ] = None,
    before: Annotated[
        list[Path] | None, typer.Option("--before", metavar="FILE...", help="Logs from before unlearning, or folders.")
    ] = None,
    table: Annotated[Path | None, typer.Option("--table", help="One .csv or .parquet table of all runs.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write a page (.html) or the numbers (.json).")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Judge others' results: evaluation logs of unlearned models against logs of retrained ones."""
    if bool(table) == bool(unlearned or retrained or before):
        raise typer.BadParameter("name either --table or the logs of --unlearned and --retrained")
    if not table and not (unlearned and retrained):
        raise typer.BadParameter("both --unlearned and --retrained need at least one log")
    if not 0 < margin < float("inf"):
        raise typer.BadParameter("--margin is a finite number above 0")
    if not rationale.strip():
        raise typer.BadParameter("--rationale says why that margin, in a few words")
    if out is not None and out.suffix not in (".html", ".json"):
        raise typer.BadParameter("--out ends in .html or .json")

    from retrain_equivalence.cli import common
    from retrain_equivalence.core.identity import plain
    from retrain_equivalence.judging import evaluation_log, page, runs_table
    from retrain_equivalence.judging.judge import judge as judged

    runs = (
        runs_table.read_table(table, metric)
        if table
        else evaluation_log.read_logs(unlearned or (), retrained or (), before or (), metric)
    )
    said = judged(runs, margin=margin, rationale=rationale)
    if out is not None and out.suffix == ".html":
        page.write(said, out)
    elif out is not None:
        page.write_numbers(said, out)
    if as_json:
        common.print_json(plain(said))
    else:
        _print(said)
    if out is not None:
        common.people().print(f"Written  {out}", soft_wrap=True)


def _print(said: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    from retrain_equivalence.cli import common
    from retrain_equivalence.judging.tables import sentences, tables

    out = common.answer()
    out.print(Text(f"{said.verdict}: {said.reason}"), style="bold")
    for sentence in sentences(said):
        out.print(Text(sentence))
    for table in tables(said):
        shown = Table(title=Text(table.caption), title_justify="left", title_style="")
        for head, numeric in zip(table.heads, table.numeric, strict=True):
            shown.add_column(Text(head), justify="right" if numeric else "left")
        for row in table.rows:
            shown.add_row(*(Text(cell) for cell in row))
        out.print()
        out.print(shown)
