"""`validate`: every check that needs no training."""

from __future__ import annotations

from typing import Any

from retrain_equivalence.cli import options


def validate(
    sources: options.Sources,
    overrides: options.Overrides = None,
    data_dir: options.DataDir = None,
    offline: options.Offline = False,
    plugins: options.Plugins = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a study and its data; print what it would read."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.execution.inputs import read_inputs

    study = common.open_study(sources, overrides, plugins)
    runtime = common.runtime_of(sources, data_dir=data_dir, offline=offline, plugins=plugins)
    inputs = read_inputs(study, runtime.locations)
    sets: dict[str, dict[str, Any]] = {
        name: {
            "train": len(dataset.train),
            "held_out": len(dataset.held_out),
            "source": dataset.provenance.source,
            "licence": dataset.provenance.licence,
            "warnings": list(dataset.provenance.warnings),
        }
        for name, dataset in inputs.datasets.items()
    }
    if as_json:
        common.print_json({"study": study.name, "valid": True, "datasets": sets})
        return
    from rich.table import Table

    table = Table("data", "training rows", "held-out rows", "source", "licence", title=f"{study.name} is valid")
    for name, entry in sets.items():
        table.add_row(name, str(entry["train"]), str(entry["held_out"]), str(entry["source"]), str(entry["licence"]))
    common.answer().print(table)
    for name, entry in sets.items():
        for warning in entry["warnings"]:
            common.people().print(f"warning: {name}: {warning}", markup=False)
