"""`theory`: options from the questions' own arguments, one JSON document, a page, and refusals in one line."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from retrain_equivalence.cli.app import _exit_code
from retrain_equivalence.cli.theory import QUESTIONS


def ask(*words: str) -> int:
    return _exit_code(["theory", *words], debug=False)


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_its_arguments_as_options_with_words(
    question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(question, "--help") == 0
    shown = capsys.readouterr().out
    function = importlib.import_module(f"retrain_equivalence.theory.questions.{question}").answer
    for name in inspect.signature(function).parameters:
        option = "--" + name.replace("_", "-")
        found = re.search(rf"^  {option} <[^>]+>\s+\S", shown, re.MULTILINE)
        assert found or re.search(rf"^  {option}\b.*\n\s+\w", shown, re.MULTILINE), option
    assert inspect.signature(function).parameters["seeds"].default >= 2


def test_json_is_one_document_with_everything_the_numbers_depend_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("linear", "--seeds", "2", "--dim", "60", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "linear" and document["settings"]["dim"] == 60
    assert document["numbers"] and all(isinstance(sentence, str) for sentence in document["says"])


def test_equal_seeds_give_equal_answers_and_other_seeds_others(capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for seed in ("0", "0", "1"):
        assert ask("floor", "--seeds", "2", "--dim", "60", "--seed", seed, "--json") == 0
        answers.append(json.loads(capsys.readouterr().out)["numbers"])
    assert answers[0] == answers[1] != answers[2]


def test_a_page_holds_the_sentences_the_figures_and_their_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "linear.html"
    assert ask("linear", "--seeds", "2", "--dim", "60", "--page", str(page)) == 0
    out = capsys.readouterr()
    text = page.read_text(encoding="utf-8")
    assert "<figure" in text and "<svg" in text and "<table>" in text and "<script" not in text
    assert "Content-Security-Policy" in text and str(page.name) in out.err
    first = out.out.splitlines()[0]
    assert first.split()[0] in text


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("linear", "--dim", "10"), 4, "E-DATA-107"),
        (("linear", "--learning-rate", "0"), 4, "E-DATA-102"),
        (("linear", "--learning-rate", "nan"), 4, "E-DATA-102"),
        (("linear", "--forget-rows", "0"), 4, "E-DATA-106"),
        (("stopping", "--law", "gaussian"), 4, "E-DATA-103"),
        (("methods", "--steps", "3000"), 4, "E-DATA-110"),
        (("linear", "--seeds", "0"), 2, "seeds"),
        (("linear", "--seed", "-1"), 2, "seed"),
        (("unknown",), 2, "unknown"),
    ],
)
def test_wrong_input_is_one_line(
    words: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(*words) == code
    err = capsys.readouterr().err.strip()
    assert says in err and "Fix: " in err and "\n" not in err


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("linear", "--seeds", "2", "--dim", "60", "--page", str(tmp_path / "none" / "a.html")) == 6
    assert "E-ENV-41" in capsys.readouterr().err


def test_no_other_verb_loads_the_theory_and_the_theory_loads_no_torch() -> None:
    code = (
        "import sys\nimport retrain_equivalence.cli.app\n"
        "assert 'retrain_equivalence.theory' not in sys.modules and 'scipy' not in sys.modules\n"
        "import retrain_equivalence.theory.questions.linear, retrain_equivalence.theory.questions.digits\n"
        "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
