"""The results folder: the documented output contract, each file replaced whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_equivalence.core.errors import InputError, MachineError

if TYPE_CHECKING:
    from retrain_equivalence.equivalence.finding import Finding
    from retrain_equivalence.records.columns import Columns

LOCK, ROWS, SUMMARY = "study.lock.yaml", "rows.parquet", "summary.csv"
FINDINGS, PROVENANCE, REPORT = "findings.json", "provenance.json", "report.html"


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary neighbour and one rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise MachineError.of(
            "E-ENV-02", str(path), f"cannot be written ({error.strerror})", "choose another folder with --out"
        ) from None


def existing(folder: Path) -> Path:
    """Return `folder` if it is a results folder.

    Raises:
        InputError: E-DATA-80 if it is not there, or holds no locked study.
    """
    if not (folder / LOCK).is_file():
        why = f"no results folder: it has no {LOCK}" if folder.is_dir() else "no results folder there"
        raise InputError.of("E-DATA-80", str(folder), why, "name a folder that `run` printed, or run the study first")
    return folder


def existing_file(path: Path, why: str, fix: str) -> Path:
    """Return `path` if there is a file.

    Raises:
        InputError: E-DATA-80, with the reason and the fix given, if there is none.
    """
    if not path.is_file():
        raise InputError.of("E-DATA-80", str(path), why, fix)
    return path


def read_findings(folder: Path, wanted: Callable[[dict[str, Any]], bool] = lambda item: True) -> list[Finding]:
    """Read a results folder's findings, or those whose fields `wanted` accepts.

    Raises:
        InputError: E-DATA-80 if there are none, E-DATA-81 if they are not what this release writes.
    """
    from retrain_equivalence.equivalence.finding import from_json

    fix = f"run: retrain-equivalence compare {folder}"
    path = existing_file(existing(folder) / FINDINGS, "no such file", fix)
    try:
        return from_json(path.read_bytes(), wanted)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError.of("E-DATA-81", str(path), "is not what this release writes", fix) from None


def read_columns(folder: Path) -> Columns:
    """Read a results folder's table.

    Raises:
        InputError: E-DATA-80 if the folder holds no table; E-DATA-52, -54 or -59 if it is not in the documented layout.
    """
    from retrain_equivalence.records.columns import Columns

    return Columns.of_parquet(
        existing_file(folder / ROWS, "no results table there", "run the study first, or name its folder")
    )


def json_bytes(value: Mapping[str, object]) -> bytes:
    """Return readable JSON with sorted keys and without nan."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
