"""docs/theory.md: every claim names a test that exists, every figure is drawn, every question is asked."""

from __future__ import annotations

import re
from pathlib import Path

from retrain_equivalence.cli.theory import QUESTIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
TESTS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "theory").glob("test_*.py")}


def cited() -> list[tuple[str, str]]:
    """Return (file, test) of every citation; `::test_b` after `file.py::test_a` means the same file."""
    found, file = [], ""
    for named, test in re.findall(r"`(?:(test_\w+\.py))?::(test_\w+)`", PAGE):
        file = named or file
        found.append((file, test))
    return found


def test_every_cited_test_exists() -> None:
    missing = [
        f"{file}::{test}" for file, test in cited() if not re.search(rf"^\s*def {test}\(", TESTS.get(file, ""), re.M)
    ]
    assert not missing


def test_every_section_with_a_claim_cites_a_test() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.M)[1:]
    without = [s.splitlines()[0] for s in sections if "::test_" not in s]
    # These two say what is where, and claim nothing of their own.
    assert without == ["Notation", "Where the paper and the computation differ"]
    assert len(cited()) >= 100


def test_every_figure_exists_and_no_drawing_is_left_unused() -> None:
    shown = set(re.findall(r"\((images/theory-[\w-]+\.svg)\)", PAGE))
    drawn = {f"images/{path.name}" for path in (ROOT / "docs" / "images").glob("theory-*.svg")}
    assert shown == drawn and len(shown) >= len(QUESTIONS) // 2


def test_every_question_is_asked_on_the_page() -> None:
    assert {q for q in QUESTIONS if f"retrain-equivalence theory {q}" not in PAGE} == set()
