"""`store`: look at what is kept, export a state as a Hugging Face folder, verify, clean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retrain_equivalence.cli import options

app = typer.Typer(help="Look at, verify, export from and clean the store.", no_args_is_help=True)

KeyPrefix = Annotated[str, typer.Argument(help="A key, or enough of its first digits.")]


@app.command("ls")
def ls(store: options.StorePath = None, as_json: options.AsJson = False) -> None:
    """List objects: key, kind, size."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.store.local import open_store

    opened = open_store(store)
    listed = [
        {"key": key, "kind": m.kind, "bytes": sum(n for n, _ in m.files.values())}
        for key in opened.keys()
        for m in (opened.get(key).manifest,)
    ]
    if as_json:
        common.print_json(listed)
        return
    for entry in listed:
        print(f"{str(entry['key'])[:16]}  {entry['kind']:<11} {common.size(float(entry['bytes']))}")


@app.command("verify")
def verify(store: options.StorePath = None) -> None:
    """Check every byte of every object against its manifest; exit 5 if anything is damaged."""
    from retrain_equivalence.core.errors import StoreError
    from retrain_equivalence.store.local import open_store

    opened = open_store(store)
    damage = list(opened.verify())
    if damage:
        raise StoreError(*(found.problem for found in damage))
    print(f"{sum(1 for _ in opened.keys())} objects, all whole")


@app.command("gc")
def gc(
    keep: Annotated[list[Path], typer.Argument(help="Results folders whose studies are kept.")],
    store: options.StorePath = None,
    data_dir: options.DataDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Move what no named study needs to the trash; the next gc deletes what this one moved."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.execution.api import plan
    from retrain_equivalence.store.local import open_store

    opened = open_store(store)
    needed = set()
    for folder in keep:
        study = common.open_study([str(folder / "study.lock.yaml")], None, None)
        planned, inputs = plan(study, common.runtime_of([str(folder / "study.lock.yaml")], data_dir=data_dir))
        needed |= set(planned.planned) | set(inputs.dataset_keys().values())
    found = opened.gc(needed, dry_run=dry_run)
    verb = "would go" if dry_run else "moved to the trash"
    print(f"{len(found.moved)} objects ({common.size(found.bytes)}) {verb}, {found.deleted} older ones deleted")


@app.command("export")
def export(
    key: KeyPrefix,
    directory: Annotated[Path, typer.Argument(help="The folder to write; must not exist.")],
    results: Annotated[Path, typer.Option("--results", help="The results folder of the state's study.")],
    store: options.StorePath = None,
    data_dir: options.DataDir = None,
    step: Annotated[int | None, typer.Option("--step", help="The saved step of an unlearning run.")] = None,
) -> None:
    """Write a state as a Hugging Face folder of safetensors."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.execution.export import export_state
    from retrain_equivalence.store.local import open_store

    lock = str(results / "study.lock.yaml")
    study = common.open_study([lock], None, None)
    runtime = common.runtime_of([lock], data_dir=data_dir)
    print(export_state(study, runtime, open_store(store), key, directory, step=step))
