"""docs/objectives.md is what the code says, byte for byte, and says something about every objective."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from retrain_equivalence.objectives.catalogue import OBJECTIVES
from retrain_equivalence.recipes.passes import ForwardPass

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make_objectives(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")  # the script reads fields as its neighbour does
    spec = importlib.util.spec_from_file_location("make_objectives", ROOT / "scripts" / "make_objectives.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(make_objectives: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_objectives.PAGE.read_bytes() == make_objectives.page().encode(), (
        "run: python scripts/make_objectives.py"
    )
    assert make_objectives.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_a_page_that_drifted_is_found_and_written_again(
    make_objectives: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "objectives.md"
    monkeypatch.setattr(make_objectives, "PAGE", copy)
    copy.write_text(make_objectives.page().replace("default `0.1`", "default `0.2`"), encoding="utf-8")
    assert make_objectives.main(["--check"]) == 1
    assert make_objectives.main([]) == 0
    assert make_objectives.main(["--check"]) == 0


def test_every_objective_has_a_section_with_all_that_helps_to_choose(make_objectives: ModuleType) -> None:
    sections = re.split(r"^##+ ", make_objectives.page(), flags=re.M)
    found = {section.partition("\n")[0].strip("`"): section for section in sections if section.startswith("`")}
    assert set(found) == set(OBJECTIVES)
    for name, section in found.items():
        for wanted in (
            "- **needs**: forget rows",
            "- **passes per step**: ",
            "- **cite**: ",
            "*Source and deviations.* ",
        ):
            assert wanted in section, (name, wanted)
        assert re.search(r"^`.+`", section, flags=re.M), (name, "formula")


def test_a_parameter_that_decides_what_is_needed_is_said(make_objectives: ModuleType) -> None:
    (graddiff,) = re.findall(r"^### `graddiff`\n(.*?)^#", make_objectives.page(), flags=re.M | re.S)
    assert "- **needs**: forget rows and retain rows; not local" in graddiff
    assert "with `retain: kl`, forget rows, the start model and retain rows; 3 forward, 2 backward" in graddiff


def test_procedures_say_what_they_need(make_objectives: ModuleType) -> None:
    _, _, procedures = make_objectives.page().partition("\n## Procedures\n")
    needs = re.findall(r"^### (.*?)\n.*?^- \*\*needs\*\*: (.*?)$", procedures, flags=re.M | re.S)
    assert needs == [
        ("One phase after another, such as relearn-first", "forget rows; local"),
        ("Task vector", "forget rows and the start model; local"),
        ("Rewind and replay", "forget rows and the history; not local"),
    ]


@dataclass(frozen=True, kw_only=True)
class Formless:
    """Ascent in words alone.

    Source: a test.
    """

    name: ClassVar[str] = "formless"
    passes: ClassVar[tuple[ForwardPass, ...]] = (ForwardPass(),)
    cite: ClassVar[str] = ""


def test_an_objective_without_a_formula_stops_the_page(make_objectives: ModuleType) -> None:
    with pytest.raises(SystemExit, match="Formless: the docstring has no paragraph that starts with the formula"):
        make_objectives.section(Formless)
