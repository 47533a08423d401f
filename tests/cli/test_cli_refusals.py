"""Every wrong study and wrong row of the rooms' own lists, through `run`: its exit code, at once, nothing written."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import small_study
import yaml

from retrain_equivalence.cli import app

TESTS = Path(__file__).resolve().parents[1]
SECONDS = 2.0


def neighbour(path: str) -> ModuleType:
    """Import another room's test file for its list."""
    name = f"lists_of_{path.replace('/', '_').removesuffix('.py')}"
    spec = importlib.util.spec_from_file_location(name, TESTS / path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STUDIES = neighbour("study/test_study_wrong.py")
STUDY_TEXT: str = neighbour("study/conftest.py").STUDY
ROWS = neighbour("data/test_data_rows.py")

Refused = Callable[[Path, int, str], None]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run a study that must be refused, and check everything that holds for every refusal."""

    def check(path: Path, code: int, expected: str) -> None:
        store, out = tmp_path / "store", tmp_path / "out"
        words = ["run", str(path), "--offline", "--store", str(store), "--out", str(out)]
        monkeypatch.setattr("sys.argv", ["retrain-equivalence", *words])
        took = []
        for _ in range(2):  # a busy machine may be in the way once
            began = time.perf_counter()
            with pytest.raises(SystemExit) as ended:
                app.main()
            took.append(time.perf_counter() - began)
            said = capsys.readouterr()
            if took[-1] < SECONDS:
                break
        assert min(took) < SECONDS
        assert (ended.value.code, said.out) == (code, "")
        lines = said.err.splitlines()
        assert lines
        assert all(len(line) <= 300 for line in lines)
        assert any(line.startswith(f"error[{expected}]: ") for line in lines), lines
        assert not out.exists()
        objects = store / "objects"
        assert not objects.exists() or not any(objects.iterdir())

    return check


@pytest.mark.parametrize("fault", STUDIES.WRONG, ids=lambda fault: fault.kind)
def test_a_wrong_study_is_refused_with_3(fault: Any, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDIES._study(fault, STUDY_TEXT))
    refused(path, 3, fault.code)


def study_of(folder: Path, **dataset: object) -> Path:
    """The small study with rows of a file as its first stage's."""
    tree = yaml.safe_load(small_study.FILE.read_text())
    tree["stages"][0]["dataset"] = {"jsonl": "rows.jsonl", **dataset}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize("kind", ROWS.ROWS)
def test_a_wrong_row_is_refused_with_4(kind: str, refused: Refused, tmp_path: Path) -> None:
    row, code, _, fields = ROWS.ROWS[kind]
    (tmp_path / "rows.jsonl").write_bytes((b"" if fields else ROWS.GOOD) + row)
    refused(study_of(tmp_path, **fields), 4, code)


@pytest.mark.parametrize("kind", ROWS.FILES)
def test_a_wrong_file_is_refused_with_4(kind: str, refused: Refused, tmp_path: Path) -> None:
    make, code, _ = ROWS.FILES[kind]
    make(tmp_path / "rows.jsonl")
    refused(study_of(tmp_path), 4, code)


def test_the_lists_are_long() -> None:
    assert len(STUDIES.WRONG) >= 30
    assert len(ROWS.ROWS) >= 30
