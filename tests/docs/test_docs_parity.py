"""The parity page is what its script writes: every peer's formula is evaluated again beside ours."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parity() -> dict[str, object]:
    return runpy.run_path(str(ROOT / "scripts" / "make_parity.py"))


def test_the_page_is_up_to_date(parity: dict[str, object]) -> None:
    written = (ROOT / "docs" / "objectives-parity.md").read_text(encoding="utf-8")
    assert parity["page"]() == written, "run python scripts/make_parity.py"  # type: ignore[operator]


def test_every_method_of_open_unlearning_is_on_it(parity: dict[str, object]) -> None:
    lines = parity["_lines"]()  # type: ignore[operator]
    theirs = {line.method.partition(",")[0].partition(" ")[0] for line in lines if line.peer == "open-unlearning"}
    assert theirs == {"GradAscent", "GradDiff", "DPO", "NPO", "SimNPO", "UNDIAL", "WGA", "SatImp", "CEU", "RMU", "PDU"}


def test_a_wrong_formula_would_be_noticed(parity: dict[str, object]) -> None:
    line = next(line for line in parity["_lines"]() if line.name == "`npo`")  # type: ignore[operator]
    compared = parity["compared"]
    assert compared(line, line.theirs) < 1e-6  # type: ignore[operator]
    assert compared(line, lambda x, held: 1.001 * line.theirs(x, held)) > 9e-4  # type: ignore[operator]
