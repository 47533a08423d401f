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
    from retrain_equivalence.execution import api
    from retrain_equivalence.models.bare_tokenizer import known_before_run
    from retrain_equivalence.study.load import read_study

    loaded = read_study(*sources, overrides=tuple(overrides or ()), plugins=tuple(plugins or ()))
    study = loaded.study
    runtime = common.runtime_of(sources, data_dir=data_dir, offline=offline, plugins=plugins)
    _, inputs = api.plan(study, runtime)
    for doubt in loaded.warnings:
        common.people().print(doubt.line(), markup=False, soft_wrap=True)
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
    if not known_before_run(study.model):
        common.answer().print("Row lengths are checked against the tokenizer at the start of run.")
    for name, entry in sets.items():
        for warning in entry["warnings"]:
            common.people().print(f"warning: {name}: {warning}", markup=False)
