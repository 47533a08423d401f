"""`plan`: what a study would do, what is there already, what it would cost, what it could detect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrain_equivalence.cli import options

if TYPE_CHECKING:
    from rich.tree import Tree

    from retrain_equivalence.execution.estimate import Estimate
    from retrain_equivalence.execution.plan import Plan
    from retrain_equivalence.execution.power import PilotSpread
    from retrain_equivalence.study.study import Study

Branches = dict[str, Any]
"""Stage -> the branches after it."""


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
    pilot: Annotated[
        Path | None, typer.Option("--pilot", help="A results folder whose spread says what is detectable.")
    ] = None,
    overrides: options.Overrides = None,
    plugins: options.Plugins = None,
    as_json: options.AsJson = False,
) -> None:
    """Print the tree, what is cached, what sharing saves, tokens, time, disk and power; trains and makes nothing."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.core.identity import plain
    from retrain_equivalence.execution import api
    from retrain_equivalence.execution.estimate import estimate, measured_rate
    from retrain_equivalence.execution.power import pilot_spreads
    from retrain_equivalence.execution.state_size import weight_shapes
    from retrain_equivalence.histories.history import BASE

    study = common.open_study(sources, overrides, plugins)
    runtime = common.runtime_of(
        sources, workers=workers, data_dir=data_dir, offline=offline, device=device, plugins=plugins
    )
    planned, inputs = api.plan(study, runtime)
    result = estimate(
        planned,
        common.store_to_read(store),
        workers=api.worker_count(study, runtime),
        rate=measured_rate(study, inputs, runtime) if measure else None,
        shapes=weight_shapes(study.model, runtime.study_dir),
    )
    spreads = None if pilot is None else pilot_spreads(pilot, study.replicates)
    if as_json:
        common.print_json(
            {
                **plain(result),
                "study": study.name,
                "tree": {BASE: branches(study)},
                "stages": plain(planned.stage_costs),
                "sharing": plain(planned.saving),
                "pilot": None if spreads is None else plain(spreads),
            }
        )
    else:
        _show(planned, result, spreads)


def branches(study: Study) -> Branches:
    """Return the tree of stages that the study's histories and oracles share."""
    tree: Branches = {}
    for history in (*study.all_histories(), *study.oracles()):
        at = tree
        for stage in history.stages:
            at = at.setdefault(stage.name, {})
    return tree


def _show(planned: Plan, result: Estimate, spreads: tuple[PilotSpread, ...] | None) -> None:
    from rich.table import Table
    from rich.tree import Tree

    from retrain_equivalence.cli import common
    from retrain_equivalence.histories.history import BASE

    study, saving, console = planned.study, planned.saving, common.answer()
    console.print(f"Study  {study.name}: {study.question}", markup=False)
    tree = Tree(BASE)
    _grow(tree, branches(study))
    console.print(tree)
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
        disk = f"≈ {disk}" if entry.disk_from_shapes else disk
        tasks.add_row(
            entry.kind, f"{entry.tasks:,}", f"{entry.cached:,}", f"{entry.tasks - entry.cached:,}", seconds, disk
        )
    console.print(tasks)
    wall = "unknown until a first run, or with --measure" if result.wall is None else common.duration(result.wall)
    console.print(f"Time  {wall} on {result.workers} workers ({result.basis})", markup=False)
    if any(entry.disk_from_shapes for entry in result.kinds):
        console.print("Disk  ≈ counts the weights of saved states by their shapes; measurements come on top")
    for line in result.power:
        console.print(line, markup=False, soft_wrap=True)
    if spreads is not None:
        console.print("Pilot  " + ("from its spread:" if spreads else "it has no distance with an interval"))
        for spread in spreads:
            console.print(spread.line(study.replicates), markup=False, soft_wrap=True)


def _grow(tree: Tree, after: Branches) -> None:
    from rich.markup import escape

    for stage, further in after.items():
        _grow(tree.add(escape(stage)), further)
