"""`store`: look at what is kept, export a state as a Hugging Face folder, verify, clean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from retrain_equivalence.cli import options

app = typer.Typer(help="Look at, verify, export from and clean the store.", no_args_is_help=True, rich_markup_mode=None)

KeyPrefix = Annotated[str, typer.Argument(help="A key, or enough of its first digits.")]


@app.command("ls")
def ls(store: options.StorePath = None, as_json: options.AsJson = False) -> None:
    """List objects: key, kind, size."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.store.local import open_store

    opened = open_store(store, create=False)
    listed = [(found.key, found.kind, sum(size for size, _ in found.files.values())) for found in opened.manifests()]
    if as_json:
        common.print_json([{"key": key, "kind": kind, "bytes": size} for key, kind, size in listed])
        return
    for key, kind, size in listed:
        print(f"{key[:16]}  {kind:<11} {common.size(size)}")


@app.command("verify")
def verify(store: options.StorePath = None) -> None:
    """Check every byte of every object against its manifest; exit 5 if anything is damaged."""
    from retrain_equivalence.core.errors import StoreError
    from retrain_equivalence.store.local import open_store

    opened = open_store(store, create=False)
    damage = list(opened.verify())
    if damage:
        fix = "run the study that needs it: the object is set aside and made again"
        raise StoreError(*(replace(found.problem, fix=found.problem.fix or fix) for found in damage))
    print(f"{sum(1 for _ in opened.manifests())} objects, all whole")


@app.command("unlock")
def unlock(key: KeyPrefix, store: options.StorePath = None) -> None:
    """Remove the lease of a run that is dead, on your word; results are never at risk."""
    from retrain_equivalence.core.errors import StudyError
    from retrain_equivalence.core.identity import Key
    from retrain_equivalence.store.local import open_store

    opened = open_store(store, create=False)
    leased = [name for path in (opened.root / "leases").glob("*.json") if (name := path.stem).startswith(key)]
    if len(leased) != 1:
        raise StudyError.of("E-CFG-95", key, f"{len(leased)} leases have that key", "give the key of one lease")
    opened.unlock(Key(leased[0]))
    print(f"{leased[0]} is free")


@app.command("gc")
def gc(
    keep: Annotated[list[Path], typer.Argument(help="Results folders whose studies are kept.")],
    store: options.StorePath = None,
    data_dir: options.DataDir = None,
    plugins: options.Plugins = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Move what no named study needs to the trash; the next gc deletes what this one moved."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.execution.locked import open_locked
    from retrain_equivalence.objectives.catalogue import load_plugins
    from retrain_equivalence.store.local import open_store

    load_plugins(plugins or ())
    opened = open_store(store, create=False)
    needed = set()
    for folder in keep:
        planned, inputs = open_locked(folder, opened, common.locations_of(data_dir))
        needed |= set(planned.planned) | set(inputs.dataset_keys().values())
    found = opened.gc(needed, dry_run=dry_run)
    verb = "would go" if dry_run else "moved to the trash"
    print(f"{len(found.moved)} objects ({common.size(found.bytes)}) {verb}, {found.deleted} older ones deleted")


@app.command("export")
def export(
    key: KeyPrefix,
    directory: Annotated[Path, typer.Argument(help="The folder to write; must not exist.")],
    results: Annotated[
        Path | None, typer.Option("--results", help="Results folder of the state's study [looked for in results/].")
    ] = None,
    store: options.StorePath = None,
    data_dir: options.DataDir = None,
    plugins: options.Plugins = None,
    step: Annotated[int | None, typer.Option("--step", help="The saved step of an unlearning run [the last].")] = None,
) -> None:
    """Write a state as a Hugging Face folder of safetensors."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.execution.export import export_state, study_of_state
    from retrain_equivalence.execution.locked import open_locked
    from retrain_equivalence.objectives.catalogue import load_plugins
    from retrain_equivalence.store.local import open_store

    load_plugins(plugins or ())
    opened = open_store(store, create=False)
    folders = [results] if results else sorted(path.parent for path in Path("results").glob("*/study.lock.yaml"))
    runs = (open_locked(folder, opened, common.locations_of(data_dir)) for folder in folders)
    planned, inputs = study_of_state(runs, key)
    print(export_state(planned, inputs, opened, key, directory, step=step))
