"""`doctor`: can this machine run a study, and what is it."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from retrain_equivalence.cli import options

FLOORS = {"torch": (2, 11), "transformers": (5, 17), "jinja2": (3, 1), "safetensors": (0, 6), "peft": (0, 18)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor."""

    state: str
    """`ok`, `warn` or `fail`."""
    what: str
    fix: str = ""


def doctor(store: options.StorePath = None, as_json: options.AsJson = False) -> None:
    """Check versions, device, store, disk and data; exit 6 if something must be fixed first."""
    from retrain_equivalence.cli import common
    from retrain_equivalence.core.identity import plain

    checks = [*_versions(), *_device(), *_store(store), *_data()]
    if as_json:
        common.print_json([plain(check) for check in checks])
    else:
        for check in checks:
            fix = f"  Fix: {check.fix}" if check.fix else ""
            print(f"{check.state:<5} {check.what}{fix}")
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(6)


def _versions() -> list[Check]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    checks = [Check(state="ok", what=f"python {platform.python_version()}")]
    for name, floor in FLOORS.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            checks.append(Check(state="fail", what=f"{name} is missing", fix="pip install -c constraints.txt ."))
            continue
        numbers = tuple(int(part) for part in found.split("+")[0].split(".")[:2])
        wanted = ".".join(map(str, floor))
        if numbers < floor:
            checks.append(
                Check(state="fail", what=f"{name} {found}, at least {wanted} is needed", fix=f"upgrade {name}")
            )
        else:
            checks.append(Check(state="ok", what=f"{name} {found}"))
    return checks


def _device() -> list[Check]:
    import os
    import shutil

    import torch

    checks = [Check(state="ok", what=f"{os.cpu_count()} cores; flush-to-zero {torch.set_flush_denormal(True)}")]
    if torch.cuda.is_available():
        checks.append(Check(state="ok", what=f"cuda: {torch.cuda.get_device_name(0)}"))
    elif shutil.which("nvidia-smi"):
        checks.append(
            Check(state="warn", what="nvidia-smi is there but torch sees no GPU", fix="install the CUDA build of torch")
        )
    else:
        checks.append(Check(state="ok", what="no GPU; studies run on the CPU"))
    return checks


def _store(path: object) -> list[Check]:
    import shutil
    from pathlib import Path

    from retrain_equivalence.cli import common
    from retrain_equivalence.core.errors import InstrumentError
    from retrain_equivalence.store.local import open_store

    try:
        opened = open_store(Path(str(path)) if path else None)
    except InstrumentError as error:
        return [Check(state="fail", what=error.problems[0].message, fix=error.problems[0].fix)]
    free = shutil.disk_usage(opened.root).free
    state = "ok" if free > 2e9 else "warn"
    return [Check(state=state, what=f"store {opened.root} is writable, {common.size(free)} free")]


def _data() -> list[Check]:
    import os

    from retrain_equivalence.data.locations import DATA_DIRECTORY_VARIABLE

    checks = []
    if folder := os.environ.get(DATA_DIRECTORY_VARIABLE):
        state, fix = ("ok", "") if os.path.isdir(folder) else ("warn", "correct the variable")  # noqa: PTH112
        checks.append(Check(state=state, what=f"{DATA_DIRECTORY_VARIABLE} is set", fix=fix))
    else:
        checks.append(Check(state="ok", what=f"{DATA_DIRECTORY_VARIABLE} is not set: data come from paths or the hub"))
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        checks.append(Check(state="ok", what="HF_HUB_OFFLINE=1: the hub is not asked"))
    return checks
