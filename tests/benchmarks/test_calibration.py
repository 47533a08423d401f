"""The calibration itself: its gates can fail, its batch forms are the package's, its summaries up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.calibration import __main__ as tool
from benchmarks.calibration import batch, sign_flips
from benchmarks.calibration.gates import FULL, Role, Row, Run
from benchmarks.calibration.questions import QUESTIONS
from benchmarks.calibration.summary import PAGE, Summary, code_version, page

from retrain_equivalence.equivalence import sign_flip
from retrain_equivalence.equivalence.measurements import Floats

STUDIES, SEED = 400, 1


@pytest.mark.parametrize("name", [question.name for question in QUESTIONS])
def test_a_small_run_passes(name: str) -> None:
    _, rows, _ = tool.answer(name, STUDIES, SEED)
    assert [row for row in rows if not row.passes] == []
    assert any(row.role is not Role.REPORT for row in rows) or name == "laws"


def test_normal_quantiles_in_place_of_t_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "t_quantile", lambda probability, df: 1.96 if probability > 0.96 else 1.645)
    _, rows, _ = tool.answer("means", 2_000, SEED)
    failed = {row.quantity for row in rows if not row.passes}
    assert "coverage of 95 %" in failed
    assert any(quantity.startswith("largest difference from the package") for quantity in failed)


def test_a_sign_flip_without_the_observed_one_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sign_flips._shares

    def without_observed(statistics_MF: Floats) -> Floats:
        F = statistics_MF.shape[1]
        return (whole(statistics_MF) * F - 1) / (F - 1)

    monkeypatch.setattr(sign_flips, "_shares", without_observed)
    _, rows, _ = tool.answer("sign_flips", STUDIES, SEED)
    assert any(not row.passes for row in rows)


def test_the_tool_names_what_fails_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def simulate(*_: object) -> Summary:
        row = Row(setting="n = 5", quantity="size", value=0.2, high=0.055)
        return Summary(seed=1, studies=1, code="", environment={}, seconds={}, rows={"means": (row,)})

    monkeypatch.setattr(tool, "simulate", simulate)
    assert tool.main(["--dry"]) == 1
    assert "means: n = 5: size: 20.0 where at most 5.5 is allowed" in capsys.readouterr().err


def test_bands_are_those_of_the_design() -> None:
    run = Run(studies=FULL, seed=1, name="means")
    exact = run.exact("", "", 0.05)
    assert (exact.low, exact.high) == (pytest.approx(0.045, abs=1e-4), pytest.approx(0.055, abs=1e-4))
    covered = run.coverage("", 0.95)
    assert (covered.low, covered.high) == (pytest.approx(0.94), pytest.approx(0.96))
    assert run.approximate("", "", 0.05).high == pytest.approx(0.065)
    size = run.discrete("", "", 0.03, sign_flip.attainable_size(6))
    assert (size.low, size.high) == (pytest.approx(0.03125 - 0.008), pytest.approx(0.03125 + 0.008))
    assert Run(studies=4_000, seed=1, name="means").at_most("", "", 0.05).high == pytest.approx(0.061, abs=5e-4)


def test_a_seed_gives_the_same_numbers_again() -> None:
    assert tool.answer("interim", 300, 5)[1] == tool.answer("interim", 300, 5)[1]
    assert tool.answer("interim", 300, 5)[1] != tool.answer("interim", 300, 6)[1]


def test_a_summary_survives_writing_and_reading(tmp_path: Path) -> None:
    rows = (Row(setting="n = 5", quantity="size", value=0.05, low=0.045, high=0.055, role=Role.CONTROL),)
    summary = Summary(seed=1, studies=9, code="a", environment={}, seconds={"means": 1.0}, rows={"means": rows})
    summary.write(tmp_path / "summary.json")
    assert Summary.read(tmp_path / "summary.json") == summary


@pytest.mark.parametrize("path", [tool.FIRST, tool.SECOND])
def test_the_committed_summary_passes_and_belongs_to_this_code(path: Path) -> None:
    summary = Summary.read(path)
    assert summary.failures == []
    assert summary.studies >= FULL
    assert set(summary.rows) == {question.name for question in QUESTIONS}
    assert summary.code == code_version(), "the tested code has changed: run `make calibrate` for both seeds again"


def test_the_two_summaries_have_different_seeds() -> None:
    assert Summary.read(tool.FIRST).seed != Summary.read(tool.SECOND).seed


def test_the_page_is_written_from_the_summaries() -> None:
    expected = page(Summary.read(tool.FIRST), Summary.read(tool.SECOND), QUESTIONS)
    assert PAGE.read_text(encoding="utf-8") == expected
