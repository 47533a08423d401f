"""`compare`: findings and verdicts from a results folder's table; needs neither torch nor the store."""

from __future__ import annotations

from typing import Annotated

import typer

from retrain_equivalence.cli import options
from retrain_equivalence.equivalence.finding import Verdict

NOT_MET = 9


def compare(
    folder: options.Folder,
    fail_on: Annotated[
        Verdict | None,
        typer.Option("--fail-on", case_sensitive=False, help="Exit 9 unless every verdict is this one."),
    ] = None,
    plugins: options.Plugins = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare what a results folder holds; rewrites findings.json and summary.csv."""
    from retrain_equivalence.cli import common, verdicts
    from retrain_equivalence.execution.api import compare_folder
    from retrain_equivalence.objectives.catalogue import load_plugins

    load_plugins(plugins or ())
    findings = compare_folder(folder)
    if as_json:
        from retrain_equivalence.core.identity import plain

        common.print_json([plain(finding) for finding in findings])
    else:
        common.answer().print(verdicts.table(findings))
    judged = [finding.verdict for finding in findings if finding.verdict is not None]
    if fail_on and (not judged or any(verdict is not fail_on for verdict in judged)):
        raise typer.Exit(NOT_MET)
