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


def test_the_other_peers_are_on_it(parity: dict[str, object]) -> None:
    found = {(line.peer.partition(",")[0], line.method) for line in parity["_lines"]()}  # type: ignore[operator]
    assert {peer for peer, _ in found} >= {
        "NPO's code", "SimNPO's code", "TOFU", "MUSE", "WMDP", "unlearning-taxonomy", "Yu et al. 2025"
    }  # fmt: skip
    assert {method for peer, method in found if peer == "TOFU"} == {"DPO", "IDK", "KL"}


def test_a_wrong_formula_would_be_noticed(parity: dict[str, object]) -> None:
    """No loss is so small on the fixture that the floor of the relative difference hides a difference."""
    compared = parity["compared"]
    for line in parity["_lines"]():  # type: ignore[operator]
        right = line.repaired or line.theirs
        assert compared(line, right) < 1e-6, line.method  # type: ignore[operator]
        off = compared(line, lambda x, held, right=right: 1.001 * right(x, held))  # type: ignore[operator]
        assert off > 9e-4, line.method
