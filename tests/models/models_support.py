"""What several test files of the models room use."""

from __future__ import annotations

from pathlib import Path

from retrain_equivalence.recipes.model import TinyModel

NANO = TinyModel(tiny="nano")


def write(files: dict[str, bytes | Path], directory: Path) -> Path:
    """Write base files into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return directory
