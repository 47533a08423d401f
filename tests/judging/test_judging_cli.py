"""The verb `judge`: groups of files, one JSON document, a page, and one line for what is wrong."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from judging_runs import log, written

from retrain_equivalence.cli import app

EXAMPLES = Path(__file__).parents[2] / "examples" / "judging"
MARGIN = ("--margin", "0.05", "--rationale", "five points")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    monkeypatch.setenv("COLUMNS", "200")

    def typed(*words: object) -> Said:
        monkeypatch.setattr("sys.argv", ["retrain-equivalence", "judge", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return Said(int(ended.value.code or 0), captured.out, captured.err)

    return typed


def test_groups_take_files_and_folders(say: Say) -> None:
    logs = sorted((EXAMPLES / "unlearned").rglob("*.json"))
    words = ("--retrained", EXAMPLES / "retrained", "--metric", "forget_Q_A_Prob", *MARGIN, "--json")
    found = say("--unlearned", *logs, *words).document
    assert found["verdict"] == "EQUIVALENT"
    assert found["judged"]["n"] == {"unlearned": 6, "retrained": 6, "before": 0}
    assert found["rationale"] == "five points"
    assert say("--unlearned", EXAMPLES / "unlearned", *words).document["judged"] == found["judged"]
    repeated = [word for path in logs for word in ("--unlearned", path)]
    assert say(*repeated, *words).document == found


def test_the_terminal_says_verdict_numbers_and_forget_quality(say: Say) -> None:
    said = say(
        "--unlearned", EXAMPLES / "unlearned", "--retrained", EXAMPLES / "retrained", "--before", EXAMPLES / "before",
        "--metric", "forget_Q_A_Prob", *MARGIN,
    )  # fmt: skip
    assert said.code == 0
    assert said.out.startswith("EQUIVALENT: the 90 % interval")
    for part in ("five points", "sd between runs", "p in its log", "before run held"):
        assert part in said.out
    assert "treats items as independent runs, which they are not" in " ".join(said.out.split())


def test_a_page_and_a_file_of_numbers_are_written(say: Say, tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    words = ("--table", EXAMPLES / "runs.csv", "--metric", "accuracy", "--margin", "0.02", "--rationale", evil)
    assert say(*words, "--out", tmp_path / "j.html").code == 0
    page = (tmp_path / "j.html").read_text(encoding="utf-8")
    assert "EQUIVALENT" in page
    assert "<svg" in page
    assert "<script>" not in page
    found = say(*words, "--out", tmp_path / "j.json", "--json").document
    assert json.loads((tmp_path / "j.json").read_text(encoding="utf-8")) == found


def test_a_page_without_a_number_has_no_figure(say: Say, tmp_path: Path) -> None:
    null = {"m": {"agg_value": None}}
    one, two = written(tmp_path / "1.json", null), written(tmp_path / "2.json", {**null, "n": {"agg_value": 1}})
    said = say("--unlearned", one, "--retrained", two, "--metric", "m", *MARGIN, "--out", tmp_path / "j.html")
    assert said.code == 0
    assert said.out.startswith("INCONCLUSIVE")
    assert "<figure" not in (tmp_path / "j.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--unlearned", "a"), "both --unlearned and --retrained"),
        ((), "either --table or"),
        (("--table", "t.csv", "--before", "b"), "either --table or"),
        (("--table", "t.csv", "--margin", "-1"), "--margin is a finite number above 0"),
        (("--table", "t.csv", "--margin", "nan"), "--margin is a finite number above 0"),
        (("--table", "t.csv", "--rationale", " "), "--rationale says why"),
        (("--table", "t.csv", "--out", "x.pdf"), "--out ends in"),
        (("--table", "t.csv", "stray"), "stray"),
    ],
)
def test_what_is_typed_wrongly_is_usage(say: Say, words: tuple[str, ...], says: str) -> None:
    said = say("--metric", "m", *MARGIN, *words)
    assert said.code == 2
    assert says in said.err


def test_a_bad_log_is_one_line_and_exit_4(say: Say, tmp_path: Path) -> None:
    good = written(tmp_path / "good.json", log([0.5]))
    bad = written(tmp_path / "bad.json", '{"forget_Q_A_Prob": ')
    said = say("--unlearned", bad, "--retrained", good, "--metric", "forget_Q_A_Prob", *MARGIN)
    assert said.code == 4
    assert said.err.count("\n") == 1
    assert said.err.startswith("error[E-DATA-141]")
    assert "bad.json:1:21" in said.err


def test_judging_loads_no_torch() -> None:
    code = (
        "import sys, retrain_equivalence.judging.judge, retrain_equivalence.judging.page, "
        "retrain_equivalence.judging.runs_table, retrain_equivalence.judging.recency_claims; "
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_logs_are_what_their_script_writes() -> None:
    logs = runpy.run_path(str(EXAMPLES / "make_logs.py"))["logs"]()
    there = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*_EVAL.json")}
    assert there == set(logs)
    for name, content in logs.items():
        assert json.loads((EXAMPLES / name).read_text(encoding="utf-8")) == content
