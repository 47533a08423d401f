"""`status`: how far a study is."""

from __future__ import annotations

from retrain_equivalence.cli import options


def status(
    sources: options.Sources,
    store: options.StorePath = None,
    data_dir: options.DataDir = None,
    device: options.Device = "cpu",
    offline: options.Offline = False,
    overrides: options.Overrides = None,
    plugins: options.Plugins = None,
    as_json: options.AsJson = False,
) -> None:
    """Print how many tasks of each kind are done."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.execution import api

    study = common.open_study(sources, overrides, plugins)
    runtime = common.runtime_of(sources, data_dir=data_dir, offline=offline, device=device, plugins=plugins)
    planned, _ = api.plan(study, runtime)
    opened = common.store_to_read(store)
    counts: dict[str, dict[str, int]] = {}
    for task in planned.tasks:
        entry = counts.setdefault(task.kind, {"all": 0, "done": 0})
        entry["all"] += 1
        entry["done"] += opened.has(task.key)
    if as_json:
        common.print_json({"study": study.name, "tasks": counts})
        return
    from rich.table import Table

    table = Table("tasks", "done", "all", title=study.name)
    for kind, entry in counts.items():
        table.add_row(kind, str(entry["done"]), str(entry["all"]))
    common.answer().print(table)
