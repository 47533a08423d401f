import hashlib
import importlib
import subprocess
import sys
from dataclasses import replace

import pytest

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.core.identity import canonical_json
from retrain_equivalence.objectives import catalogue
from retrain_equivalence.objectives.catalogue import (
    OBJECTIVES,
    build,
    citations_of,
    entries,
    load_plugins,
    needs,
    passes_of,
    resolve,
)
from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.testing import check_objective

PLUGIN = '''
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, Seen, Terms
from retrain_equivalence.recipes.passes import ForwardPass

@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """`scale` times the summed log-likelihood.

    Source: a test.

    >>> Scaled(scale=2.0).scale
    2.0
    """
    name: ClassVar[str] = "scaled"
    passes: ClassVar[tuple[ForwardPass, ...]] = (POLICY_LOGPS,)
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = "@misc{s, title = {S}, year = {2025}}"
    scale: float

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[POLICY_LOGPS]
        total = policy.sequence_sums_B().sum() * self.scale
        return Terms(total=total, count=int(policy.mask_BT.any(dim=1).sum()), per=self.per)

OBJECTIVES = [Scaled]
'''


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    monkeypatch.setattr(catalogue, "_loaded", {})
    catalogue._installed.cache_clear()
    yield
    catalogue._installed.cache_clear()


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    return file


def codes(raised):
    return [problem.code for problem in raised.value.problems]


def test_importing_it_and_the_torch_free_rooms_loads_no_torch():
    script = (
        "import sys\n"
        "from retrain_equivalence.objectives.catalogue import resolve, needs\n"
        "import retrain_equivalence.training.duration, retrain_equivalence.training.schedule\n"
        "from retrain_equivalence.training.determinism import numeric_environment\n"
        "needs(resolve('npo', {}, '')); numeric_environment()\n"
        "print(sorted(sys.modules.keys() & {'torch', 'transformers', 'peft'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_defaults_are_written_out_and_enter_the_identity():
    recipe = resolve("simnpo", {"gamma": 0}, "unlearnings[0]")
    assert recipe == ObjectiveRecipe(name="simnpo", parameters={"beta": 4.5, "gamma": 0.0}, source="")
    assert canonical_json(recipe) == canonical_json(resolve("simnpo", {"gamma": 0.0, "beta": 4.5}, ""))
    assert build(resolve("npo", {}, "")) == NPO(beta=0.1)
    assert resolve("nll", {}, "").parameters == {}


def test_what_a_recipe_needs_is_derived():
    assert needs(resolve("npo", {}, "")).reference
    assert not needs(resolve("ga", {}, "")).reference
    assert len(passes_of(resolve("npo", {}, ""))) == 2
    assert citations_of(resolve("npo", {}, ""))[0].startswith("@article{zhang2024negative")


@pytest.mark.parametrize(
    ("name", "parameters", "code", "said"),
    [
        ("npoo", {}, "E-CFG-40", "did you mean 'npo'"),
        ("", {}, "E-CFG-40", "known: ce_u, distill, dpo"),
        ("npo", {"bata": 1.0}, "E-CFG-41", "did you mean 'beta'"),
        ("ga", {"beta": 1.0}, "E-CFG-41", "has: none"),
        ("npo", {"beta": "0.1"}, "E-CFG-42", "expected a number, found '0.1'"),
        ("npo", {"beta": True}, "E-CFG-42", "expected a number, found True"),
        ("npo", {"beta": 0}, "E-CFG-43", "beta must be a finite number above 0"),
        ("simnpo", {"gamma": float("inf")}, "E-CFG-43", "gamma must be finite"),
    ],
)
def test_a_wrong_choice_is_one_line_with_a_hint(name, parameters, code, said):
    with pytest.raises(StudyError) as raised:
        resolve(name, parameters, "unlearnings[1]")
    (problem,) = raised.value.problems
    assert problem.code == code
    assert problem.place.startswith("unlearnings[1]")
    assert said in problem.line()
    assert "Fix: " in problem.line()


def test_all_problems_come_together():
    with pytest.raises(StudyError) as raised:
        resolve("simnpo", {"betta": 1.0, "gamma": "much"}, "u")
    assert codes(raised) == ["E-CFG-41", "E-CFG-42"]


def test_a_plugin_is_found_checked_and_locked(plugin):
    load_plugins([plugin])
    load_plugins([plugin])
    recipe = resolve("scaled", {"scale": 3}, "u")
    sha256 = hashlib.sha256(PLUGIN.encode()).hexdigest()
    assert recipe.source == f"scaled@{sha256}"
    assert str(plugin) not in canonical_json(recipe)
    objective = build(recipe)
    assert objective.scale == 3.0
    check_objective(objective)
    assert set(entries()) == {*OBJECTIVES, "scaled"}


def test_a_parameter_without_default_is_asked_for(plugin):
    load_plugins([plugin])
    with pytest.raises(StudyError, match=r"E-CFG-41.*needs the parameter 'scale'"):
        resolve("scaled", {}, "u")


def test_an_edited_plugin_is_another_loss(plugin):
    load_plugins([plugin])
    locked = resolve("scaled", {"scale": 3.0}, "u")
    catalogue._loaded.clear()
    plugin.write_text(PLUGIN + "\n# edited\n")
    load_plugins([plugin])
    with pytest.raises(StudyError, match="E-CFG-47"):
        build(locked)
    with pytest.raises(StudyError, match="E-CFG-47"):
        build(replace(locked, name="nll"))


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("x = (", "E-CFG-45", "SyntaxError"),
        ("raise RuntimeError('no')", "E-CFG-45", "RuntimeError: no"),
        ("x = 1", "E-CFG-45", "no module-level list OBJECTIVES"),
        ("OBJECTIVES = [3]", "E-CFG-45", "3 is not a frozen dataclass"),
        (PLUGIN.replace("frozen=True, ", ""), "E-CFG-45", "Scaled is not a frozen dataclass"),
        (PLUGIN.replace('cite: ClassVar[str] = "@misc{s, title = {S}, year = {2025}}"', ""), "E-CFG-45", "lacks cite"),
        (PLUGIN.replace("def __call__", "def call"), "E-CFG-45", "lacks __call__"),
        (PLUGIN.replace('"scaled"', '"npo"'), "E-CFG-46", "name 'npo' is taken"),
        (
            PLUGIN.replace("] = (POLICY_LOGPS,)", "] = (POLICY_LOGPS, ForwardPass(signal='hidden'))"),
            "E-CFG-45",
            "a layer >= 0 belongs to hidden states",
        ),
    ],
)
def test_a_plugin_that_is_none_is_refused(tmp_path, text, code, said):
    file = tmp_path / "odd.py"
    file.write_text(text)
    with pytest.raises(StudyError) as raised:
        load_plugins([tmp_path / "absent.py", file])
    assert codes(raised) == ["E-CFG-45", code]
    assert said in raised.value.problems[1].message
    assert "scaled" not in entries()


def test_two_plugins_with_one_name_are_refused(plugin, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(PLUGIN + "\n# other\n")
    with pytest.raises(StudyError, match="E-CFG-46"):
        load_plugins([plugin, other])


def test_an_installed_package_adds_its_objective(tmp_path, monkeypatch):
    (tmp_path / "their_losses.py").write_text(PLUGIN)
    info = tmp_path / "their_losses-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-losses\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[retrain_equivalence.objectives]\nscaled = their_losses:Scaled\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    recipe = resolve("scaled", {"scale": 1.0}, "u")
    assert recipe.source == f"their-losses==2.1@{hashlib.sha256(PLUGIN.encode()).hexdigest()}"
    assert build(recipe).name == "scaled"
