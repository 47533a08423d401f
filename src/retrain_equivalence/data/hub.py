"""Data from the Hugging Face hub: fetched at a fixed commit, hashed, then read from local files only.

Design. Fetching and reading are two acts. `fetch` is the only function here that asks the network for data;
`read_snapshot` reads a folder that has the hub's layout, wherever it came from, through `datasets.load_dataset`, so
that every step but the download is the same with a copy of that layout. Only the columns that are asked for are handed
on: several safety sets carry model answers that must not be.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain_equivalence.core.errors import MachineError
from retrain_equivalence.data.problems import Problems
from retrain_equivalence.data.row_rules import RowRules
from retrain_equivalence.data.rows import Table, read_records
from retrain_equivalence.data.source import open_source, refuse

TIMEOUT_S = 10

BUILDERS = {".json": "json", ".jsonl": "json", ".parquet": "parquet", ".csv": "csv"}
"""Suffix -> the packaged reader of `datasets`; no repository's own code is ever run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSet:
    """Which files of which repository."""

    repository: str
    """`owner/name` of a data set."""
    files: tuple[str, ...]
    """Glob patterns of the files that are read, and of nothing else."""
    revision: str | None
    """The commit, 40 hexadecimal digits; None takes the newest, which goes to the provenance."""
    gated: bool = False
    """Whether the user must have been granted access; the user's own token is then used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Files that were fetched."""

    folder: Path
    revision: str


def fetch(wanted: HubSet, *, place: str) -> Snapshot:
    """Fetch the files, or take them from the hub's own cache if that commit is there.

    Raises:
        MachineError: E-ENV-08, within about 20 seconds, if there is no network, no access or no such revision.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    what = f"data set '{wanted.repository}'"
    if (kept := _kept(wanted)) is not None:
        return kept
    try:
        # Asked first because it fails at once: the download itself would retry for 25 seconds without a network.
        revision = HfApi().dataset_info(wanted.repository, revision=wanted.revision, timeout=TIMEOUT_S).sha
        folder = snapshot_download(
            wanted.repository,
            repo_type="dataset",
            revision=revision,
            allow_patterns=list(wanted.files),
            etag_timeout=TIMEOUT_S,
        )
    except GatedRepoError:
        fix = "ask for access on its page and set HF_TOKEN, or use the generated refusals"
        raise MachineError.of("E-ENV-08", place, f"{what} is gated and your token has no access", fix) from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        fix = "put the file below --data-dir (data/README.md has the layout)"
        raise MachineError.of("E-ENV-08", place, f"{what} or its revision is not on the hub", fix) from None
    except Exception as error:
        # The client's own error types change with its HTTP library; whatever it raises, the answer is the same.
        message = f"{what}: the hub cannot be reached ({type(error).__name__})"
        fix = "put the file below --data-dir (data/README.md has the layout), or run once while online"
        raise MachineError.of("E-ENV-08", place, message, fix) from None
    return Snapshot(folder=Path(folder), revision=str(revision))


def _kept(wanted: HubSet) -> Snapshot | None:
    """Return the snapshot of a pinned revision if the hub's cache on this machine has all its files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if wanted.revision is None:
        return None
    try:
        kept = snapshot_download(
            wanted.repository,
            repo_type="dataset",
            revision=wanted.revision,
            allow_patterns=list(wanted.files),
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    folder = Path(kept)
    complete = all(any(folder.glob(pattern)) for pattern in wanted.files)
    return Snapshot(folder=folder, revision=wanted.revision) if complete else None


def read_snapshot(folder: Path, wanted: HubSet, *, rules: RowRules, found: Problems) -> Table:
    """Read and check the rows of a folder in the hub's layout; places are `owner/name:row`.

    Args:
        folder: what `fetch` returned, or a copy with the same layout.
        wanted: which of its files.
        rules: the hub's own field names.
        found: where problems go.

    Raises:
        InputError: E-DATA-30 if a file is missing; 29 if `datasets` cannot read it; 03 if a column is missing.
    """
    files = sorted({path for pattern in wanted.files for path in folder.glob(pattern) if path.suffix in BUILDERS})
    if not files:
        message = f"no file matches {', '.join(wanted.files)}"
        raise refuse(30, wanted.repository, message, "fetch it again, or put the file below --data-dir")
    sha256 = _hash_all(files, folder, wanted)
    with tempfile.TemporaryDirectory() as scratch:
        # Its own cache would keep a second copy of the rows, sensitive ones included, after the run.
        records = _records(files, wanted, rules, Path(scratch))
        table = read_records(records, shown=wanted.repository, rules=rules, found=found)
    return Table(rows=table.rows, sha256=sha256)


def _hash_all(files: list[Path], folder: Path, wanted: HubSet) -> str:
    # The hub's cache links from the snapshot's folder to its blobs, two levels up in the same repository's folder.
    root = folder.parent.parent if files[0].is_symlink() else folder
    lines = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        with open_source(path, root=root, shown=f"{wanted.repository}/{name}") as source:
            source.everything()
            lines.append(f"{name} {source.n_bytes} {source.sha256}\n")
            alone = source.sha256
    return alone if len(files) == 1 else hashlib.sha256("".join(lines).encode()).hexdigest()


def _records(files: list[Path], wanted: HubSet, rules: RowRules, scratch: Path) -> Iterator[Mapping[str, Any]]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    builder = BUILDERS[files[0].suffix]
    names = [str(path) for path in files]
    try:
        rows = load_dataset(builder, data_files=names, split="train", cache_dir=str(scratch))
    except (DatasetGenerationError, ValueError, OSError) as error:
        message = f"cannot be read as {builder} ({type(error).__name__})"
        raise refuse(29, wanted.repository, message, "fetch it again") from None
    columns = [field.name for field in rules.fields]
    missing = [name for name in columns if name not in rows.column_names]
    if missing:
        has = ", ".join(rows.column_names[:6])
        message = f"column '{missing[0]}' is missing (has: {has})"
        raise refuse(3, wanted.repository, message, "the hub's layout changed: put a file below --data-dir instead")
    yield from rows.select_columns(columns)
