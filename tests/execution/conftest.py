"""The small study, finished once: what most tests of this folder look at."""

from __future__ import annotations

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
def slow_answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, str]]:
    """Result files and digests of the slow variant, run without interruption."""
    root = tmp_path_factory.mktemp("slow")
    out = small_study.run_small(root, *small_study.SLOW)
    return small_study.answers(out), dict(small_study.digests(root))
