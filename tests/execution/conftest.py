"""The small study, finished once: what most tests of this folder look at."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_study
from small_study import Finished


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("small")
    out = small_study.run_small(root)
    plan, inputs = small_study.api.plan(small_study.small(), small_study.api.Runtime(study_dir=small_study.FOLDER))
    return Finished(root=root, out=out, plan=plan, inputs=inputs)


@pytest.fixture(scope="session")
def nano_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A nano model as a Hugging Face folder."""
    from retrain_equivalence.models.base import base_files
    from retrain_equivalence.recipes.model import TinyModel

    folder = tmp_path_factory.mktemp("nano")
    for name, data in base_files(
        TinyModel(tiny="nano"), seed=1, tokenizer_text=None, study_dir=folder, offline=True
    ).items():
        assert isinstance(data, bytes)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="session")
def slow_answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, str]]:
    """Result files and digests of the slow variant, run without interruption."""
    root = tmp_path_factory.mktemp("slow")
    out = small_study.run_small(root, *small_study.SLOW)
    return small_study.answers(out), dict(small_study.digests(root))
