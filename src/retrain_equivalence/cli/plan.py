"""`plan`: what a study would do, what is there already, what it would cost, what it could detect."""

from __future__ import annotations

from typing import Annotated

import typer

from retrain_equivalence.cli import options


def plan(
    sources: options.Sources,
    store: options.StorePath = None,
    data_dir: options.DataDir = None,
    device: options.Device = "cpu",
    workers: options.Workers = None,
    offline: options.Offline = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Train a few steps in a child for a fresh estimate.")
    ] = False,
    overrides: options.Overrides = None,
    plugins: options.Plugins = None,
    as_json: options.AsJson = False,
) -> None:
    """Print the tree, what is cached, what sharing saves, tokens, time, disk and power; trains nothing."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.execution import api
    from retrain_equivalence.execution.estimate import estimate, measured_rate
    from retrain_equivalence.store.local import open_store

    study = common.open_study(sources, overrides, plugins)
    runtime = common.runtime_of(
        sources, workers=workers, data_dir=data_dir, offline=offline, device=device, plugins=plugins
    )
    planned, inputs = api.plan(study, runtime)
    opened = open_store(store)
    rate = measured_rate(study, inputs, runtime) if measure else None
    result = estimate(planned, opened, workers=api.worker_count(study, runtime), rate=rate)
    if as_json:
        from retrain_equivalence.core.identity import plain

        common.print_json(plain(result))
        return
    from rich.markup import escape
    from rich.table import Table
    from rich.tree import Tree

    console = common.answer()
    console.print(f"Study  {study.name}: {study.question}", markup=False)
    tree = Tree("(base)")
    branches: dict[tuple[str, ...], Tree] = {(): tree}
    for history in (*study.all_histories(), *study.oracles()):
        names: tuple[str, ...] = ()
        for stage in history.stages:
            parent, names = names, (*names, stage.name)
            if names not in branches:
                branches[names] = branches[parent].add(escape(stage.name))
    console.print(tree)
    saving = planned.saving
    console.print(
        f"{saving.shared} stage trainings per replicate instead of {saving.naive} "
        f"({100 * (1 - saving.shared / max(saving.naive, 1)):.0f} % saved by sharing; "
        "oracles at the study's seeds are free)"
    )
    stages = Table("stage", "rows", "steps", "tokens (≈)", "trainings")
    for cost in planned.stage_costs:
        stages.add_row(cost.name, f"{cost.rows:,}", f"{cost.steps:,}", f"{cost.tokens:,}", f"{cost.trainings:,}")
    console.print(stages)
    tasks = Table("tasks", "all", "cached", "to do", "time", "disk")
    for entry in result.kinds:
        seconds = "unknown" if entry.seconds is None else common.duration(entry.seconds)
        disk = "unknown" if entry.disk is None else common.size(entry.disk)
        tasks.add_row(
            entry.kind, f"{entry.tasks:,}", f"{entry.cached:,}", f"{entry.tasks - entry.cached:,}", seconds, disk
        )
    console.print(tasks)
    wall = "unknown until a first run, or with --measure" if result.wall is None else common.duration(result.wall)
    console.print(f"Time  {wall} on {result.workers} workers ({result.basis})", markup=False)
    for line in result.power:
        console.print(line, markup=False)
