"""docs/published-table-1.md is what its script writes, and its sentences say what the numbers say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> dict[str, object]:
    return runpy.run_path(str(ROOT / "scripts" / "make_published.py"))


def test_the_page_is_up_to_date(script: dict[str, object]) -> None:
    written = (ROOT / "docs" / "published-table-1.md").read_text(encoding="utf-8")
    assert script["page"]() == written, "run: python scripts/make_published.py"  # type: ignore[operator]
    assert script["main"](["--check"]) == 0  # type: ignore[operator]


def test_its_fixed_sentences_agree_with_its_table(script: dict[str, object]) -> None:
    text = script["page"]()  # type: ignore[operator]
    rows = dict(re.findall(r"^\| model \| (\w+) \| (\d of \d) \|", text, flags=re.M))
    assert rows == {"GA": "5 of 5", "NPO": "5 of 5", "SimNPO": "3 of 5"}
    assert "**GA and NPO, model as unit: 5 of 5.**" in text
    assert "**SimNPO: 3 of 5.**" in text
    carried = re.findall(r"^\| (model|family) \| (\w+) \|.* ([a-z]+[^|]*) \|$", text, flags=re.M)
    assert [(unit, method) for unit, method, said in carried if said.startswith("yes")] == [
        ("model", "GA"),
        ("model", "NPO"),
    ]
