"""Models of the Hugging Face hub: one snapshot at a locked revision, weights as safetensors only."""

from __future__ import annotations

from pathlib import Path

from retrain_equivalence.core.errors import MachineError

WANTED = [
    "config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja",
]  # fmt: skip


def snapshot(repository: str, revision: str | None, *, offline: bool) -> tuple[Path, str]:
    """Fetch (or find in the local cache) the files that a model needs.

    Args:
        repository: `organisation/name`.
        revision: a 40-digit commit; None takes what the default branch points to now.
        offline: whether only the local cache may be read.

    Returns:
        The snapshot's directory and its 40-digit commit, to be locked.

    Raises:
        MachineError: E-ENV-08 if it is not in the cache and the network is forbidden or fails.
    """
    return _snapshot(repository, revision, WANTED, offline=offline)


def locked_revision(repository: str, revision: str | None, *, offline: bool) -> str:
    """Return the 40-digit commit that `snapshot` would read, fetching no more than `config.json`."""
    return _snapshot(repository, revision, ["config.json"], offline=offline)[1]


def _snapshot(repository: str, revision: str | None, wanted: list[str], *, offline: bool) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    place = f"model '{repository}'@{revision or 'main'}"
    try:
        found = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=wanted,
            ignore_patterns=["*/*"],  # conversions for other runtimes live in folders
            local_files_only=offline,
            tqdm_class=None,
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        why = (
            "not in the local cache, and the network is forbidden"
            if offline
            else "no network, and not in the local cache"
        )
        raise MachineError.of(
            "E-ENV-08", place, why, "Run once while online, or download it and give its folder as model.path"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise MachineError.of(
            "E-ENV-08",
            place,
            f"the hub refuses it: {str(error).splitlines()[0]}",
            "Check the name, the revision and your access",
        ) from error
    directory = Path(found)
    return directory, directory.name
