"""One tiny base on disk, shared by the tests of the models room."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models_support import NANO, write

from retrain_equivalence.models.base import base_files, load_base
from retrain_equivalence.models.codec import Codec


@pytest.fixture(scope="session")
def nano_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = base_files(NANO, seed=1, tokenizer_text=None, study_dir=Path(), offline=True)
    return write(files, tmp_path_factory.mktemp("nano") / "base")


@pytest.fixture
def nano(nano_directory: Path) -> tuple[torch.nn.Module, Codec]:
    """A nano model with larger weights than a fresh one, so that its distributions are far from uniform."""
    model, codec = load_base(nano_directory, NANO)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(12.0)
    return model, codec
