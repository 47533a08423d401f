"""docs/distances.md is what the cards say, byte for byte, and `list distances` names the same ones."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from retrain_equivalence.metrics.catalogue import CARDS
from retrain_equivalence.metrics.distributional.margin_law import gaussian_kl_of_equal_laws

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make_distances() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_distances", ROOT / "scripts" / "make_distances.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(make_distances: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_distances.PAGE.read_bytes() == make_distances.page().encode(), "run: python scripts/make_distances.py"
    assert make_distances.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_a_page_that_drifted_is_found_and_written_again(
    make_distances: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "distances.md"
    monkeypatch.setattr(make_distances, "PAGE", copy)
    copy.write_text(make_distances.page().replace("lower bound", "upper bound"), encoding="utf-8")
    assert make_distances.main(["--check"]) == 1
    assert make_distances.main([]) == 0
    assert make_distances.main(["--check"]) == 0


def test_every_distance_has_a_row_and_a_section_under_its_level(make_distances: ModuleType) -> None:
    text = make_distances.page()
    overview, *levels = re.split(r"^## (?!Overview)", text, flags=re.M)
    assert re.findall(r"^\| \[`(\w+)`\]", overview, flags=re.M) == list(CARDS)
    sections = {
        name: level.partition(":")[0].lower() for level in levels for name in re.findall(r"^### `(\w+)`", level, re.M)
    }
    assert sections == {name: card.level for name, card in CARDS.items()}
    for word in (
        "range",
        "direction",
        "symmetric",
        "squared norm",
        "lumped cells",
        "bias",
        "sees",
        "cannot see",
        "source",
    ):
        assert text.count(f"\n- **{word}**: ") == len(CARDS), word
    assert f"{gaussian_kl_of_equal_laws(5, 5):.3f}" in text


def test_the_command_line_lists_them(tmp_path: Path) -> None:
    call = [sys.executable, "-c", "from retrain_equivalence.cli.app import main; main()", "list", "distances", "--json"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert set(found) == set(CARDS)
    assert found["hellinger"] == {
        "level": "pointwise",
        "what": CARDS["hellinger"].what,
        "unit": "Hellinger²",
        "range": "0 (equal) to 1 (disjoint)",
    }
