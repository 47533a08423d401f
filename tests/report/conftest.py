"""One planted results folder for the whole room, and what a reader of a page needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_synthetic import study_text, write_results

from retrain_equivalence.report.page import write_report


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three positions, three unlearnings, three replicates; one `ga` run of each history is censored."""
    text = study_text(with_math=False, replicates=3, oracles=2)
    return write_results(tmp_path_factory.mktemp("results") / "quickstart", text, explode="ga")


@pytest.fixture(scope="session")
def page(results: Path) -> str:
    """The text of that folder's report."""
    return write_report(results).read_text()
