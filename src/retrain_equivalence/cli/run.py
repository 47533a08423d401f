"""`run`: do a study, or go on with it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrain_equivalence.cli import options

if TYPE_CHECKING:
    from retrain_equivalence.execution.plan import Plan

Look = Annotated[
    int | None,
    typer.Option("--look", metavar="N", help="Run the first N replicates only; N is one of the study's looks."),
]


def run(
    sources: options.Sources,
    out: options.Out = None,
    store: options.StorePath = None,
    data_dir: options.DataDir = None,
    workers: options.Workers = None,
    device: options.Device = "cpu",
    offline: options.Offline = False,
    overrides: options.Overrides = None,
    plugins: options.Plugins = None,
    no_rebuild: options.NoRebuild = False,
    allow_network: options.AllowNetwork = False,
    look: Look = None,
) -> None:
    """Train, unlearn, probe, compare and report. Run it again after a stop: it goes on where it was."""
    from retrain_equivalence.cli import common, progress, verdicts
    from retrain_equivalence.execution import api
    from retrain_equivalence.execution.signals import Interrupted, StopFlag, stopping
    from retrain_equivalence.store.local import open_store

    study = common.open_study(sources, overrides, plugins)
    runtime = common.runtime_of(
        sources, workers=workers, data_dir=data_dir, offline=offline, device=device, plugins=plugins
    )
    folder = out or Path("results") / study.name
    opened = open_store(store, rebuild=not no_rebuild, allow_network=allow_network)

    def announce(planned: Plan) -> None:
        print(common.what_is_left(planned, opened, api.worker_count(study, runtime)), file=sys.stderr, flush=True)

    stop = StopFlag()
    with stopping(stop), progress.shown(study.name) as watch:
        try:
            results = api.run(
                study,
                store=opened,
                out=folder,
                runtime=runtime,
                stop=stop,
                progress=watch,
                planned=announce,
                look=look,
            )
        except Interrupted:
            command = shlex.join(["retrain-equivalence", *sys.argv[1:]])
            print(f"saved; resume with: {command}", file=sys.stderr)
            raise typer.Exit(stop.exit_code) from None
    # Figures take long to import, and a study that is refused needs none.
    from retrain_equivalence.report.page import write_report

    page = write_report(folder)
    common.answer().print(verdicts.table(results.findings))
    print(f"Report  {page}")
    for line in dict.fromkeys(problem.line() for problem in results.failed):
        print(line, file=sys.stderr)
    if results.exit_code:
        raise typer.Exit(results.exit_code)
