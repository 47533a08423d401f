"""docs/evaluating-unlearning.md: its commands run and say what the page says; its table of runs is the code's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from retrain_equivalence.equivalence import permutation, power
from retrain_equivalence.equivalence.sign_flip import smallest_n
from retrain_equivalence.judging import runs_table
from retrain_equivalence.judging.power import margin_each

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluating-unlearning.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.M | re.S) for line in block.splitlines()]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each command of the page prints, in order."""
    folder = tmp_path_factory.mktemp("judge")
    (folder / "examples").symlink_to(ROOT / "examples")
    said = []
    for line in COMMANDS:
        call = [sys.executable, "-c", "from retrain_equivalence.cli.app import main; main()", *shlex.split(line)[1:]]
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        said.append(done.stdout)
    assert (folder / "judged.html").exists()
    return said


def test_the_commands_say_what_the_page_says(answers: list[str]) -> None:
    first, second, third, fourth = answers
    assert first.startswith("EQUIVALENT: the 90 % interval [0.0109, 0.04957] lies inside ±0.05")
    assert "0.0109 to 0.04957" in PAGE
    assert "0.00433" in first
    assert "p = 0.0043" in PAGE
    assert second.startswith("INCONCLUSIVE: no band: one oracle")
    assert "runs of each would do" in second
    assert "KS distance beyond the retrained models' own" in third
    assert fourth.startswith("EQUIVALENT")


def test_the_table_of_runs_is_computed() -> None:
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, flags=re.M)
    assert len(rows) == 9
    for runs, detectable, paired, two_sets, smallest in rows:
        n = int(runs)
        assert float(detectable) == round(power.detectable_effect(n), 2)
        assert float(paired) == round(power.equivalence_margin(n), 2)
        assert float(two_sets) == round(margin_each(n), 2)
        assert float(smallest) == float(f"{permutation.smallest_p(n, n):.2g}")
    assert "below 6 replicates" in PAGE
    assert (smallest_n(1), smallest_n(12)) == (6, 9)


def test_the_layout_of_a_table_is_the_readers() -> None:
    documented = re.search(r"\| column \| holds \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE)
    assert documented is not None
    assert tuple(re.findall(r"^\| `(\w+)` \|", documented[1], flags=re.M)) == runs_table.COLUMNS
