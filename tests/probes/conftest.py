"""A real tiny model with a peaked distribution, and small data sets."""

from pathlib import Path

import pytest
import torch

from retrain_equivalence.data.example import Dataset, Example, Provenance, digest_of_rows
from retrain_equivalence.data.refusals import REFUSAL_LABEL, refusal
from retrain_equivalence.models.base import base_files, load_base
from retrain_equivalence.probes.base import Subject
from retrain_equivalence.recipes.model import TinyModel


def dataset_of(train: list[Example], held_out: list[Example]) -> Dataset:
    about = Provenance(
        source="generated", revision="", sha256="", licence="CC0-1.0", rows_read=len(train) + len(held_out)
    )
    return Dataset(
        train=tuple(train),
        held_out=tuple(held_out),
        digest=digest_of_rows(train, held_out),
        sensitive=False,
        provenance=about,
    )


@pytest.fixture(scope="session")
def nano_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("nano")
    files = base_files(TinyModel(tiny="nano"), seed=3, tokenizer_text=None, study_dir=directory, offline=True)
    for name, content in files.items():
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return directory


@pytest.fixture
def subject(nano_directory: Path) -> Subject:
    """A nano model whose matrices are scaled up, so that its distributions are as uneven as a trained model's."""
    model, codec = load_base(nano_directory, TinyModel(tiny="nano"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(12.0)
    return Subject(model=model, codec=codec)


@pytest.fixture(scope="session")
def refusals() -> Dataset:
    rows = [
        Example(
            id=f"r{i}",
            prompt="Please say " + "word " * (i % 5) + str(i),
            response=refusal(f"r{i}"),
            cluster=f"c{i}",
            label=REFUSAL_LABEL,
        )
        for i in range(12)
    ]
    return dataset_of(rows[:9], rows[9:])


@pytest.fixture(scope="session")
def sums() -> Dataset:
    rows = [
        Example(id=f"s{i}", prompt=f"{i} + {i}?", response=f"{i} + {i} = {2 * i}\n#### {2 * i}", cluster=f"c{i}")
        for i in range(10)
    ]
    return dataset_of(rows[:8], rows[8:])
