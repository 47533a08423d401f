"""The repository as a whole: codes, options and rooms that must agree with each other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from retrain_equivalence.core.codes import CODES
from retrain_equivalence.core.errors import FAMILIES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "retrain_equivalence"
ENTRIES = PACKAGE / "core" / "codes"
CODE = re.compile(r"\bE-[A-Z]+-\d{2,3}\b")
SHORT = {"data": "E-DATA", "models": "E-DATA"}
"""Rooms that write only the number where they note a problem: their family is always the same."""


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def raised() -> set[str]:
    """Codes that occur as values in the source, docstrings and explanations left out."""
    found = {"E-BUG"}
    for path, tree in trees().items():
        if ENTRIES in path.parents:
            continue
        family = SHORT.get(path.relative_to(PACKAGE).parts[0])
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                found.add(node.value)
            if family is None:
                continue
            # `found.error(3, ...)`, `_problem("64", ...)`, `DataError(30, ...)`, and pairs such as `("66", text)`.
            first = None
            if isinstance(node, ast.Call | ast.Tuple):
                items = node.args if isinstance(node, ast.Call) else node.elts
                first = items[0].value if items and isinstance(items[0], ast.Constant) else None
            if isinstance(first, int) and not isinstance(first, bool) and 0 < first < 100:
                found.add(f"{family}-{first:02d}")
            if isinstance(first, str) and re.fullmatch(r"\d\d", first):
                found.add(f"{family}-{first}")
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\d\d", node.value):
                found.add(f"{family}-{node.value}")
    return found


def test_every_code_that_is_raised_is_explained() -> None:
    written = {code for code in raised() if code.rpartition("-")[0] not in SHORT.values()}
    assert written <= set(CODES) | {"E-BUG"}
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                unknown = set(CODE.findall(node.value)) - set(CODES)
                assert not unknown, f"{path.relative_to(ROOT)}:{node.lineno} names {unknown}"


def test_every_explained_code_is_raised_somewhere() -> None:
    assert set(CODES) - raised() == set()


def test_every_code_belongs_to_a_family_and_has_one_paragraph() -> None:
    prefixes = {family.prefix for family in FAMILIES}
    for code, text in CODES.items():
        assert code == "E-BUG" or code.rpartition("-")[0] in prefixes
        assert len(text) > 20, code
        assert text.endswith((".", ")", "?")), code
        assert "  " not in text, code


def test_no_code_has_two_entries() -> None:
    entries: dict[str, Path] = {}
    for path in ENTRIES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                for key in node.keys:
                    assert isinstance(key, ast.Constant)
                    assert key.value not in entries, f"{key.value} is in {entries[key.value].name} and {path.name}"
                    entries[key.value] = path
    assert set(entries) == set(CODES)


def options() -> set[str]:
    """Every long option of every verb."""
    found = {"--debug", "--help"}
    for path, tree in trees().items():
        if path.parent.name == "cli":
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("--"):
                    found.add(node.value)
    return found


def test_messages_name_only_options_that_exist() -> None:
    """An option in a message or an explanation can be typed."""
    known = options()
    for path, tree in trees().items():
        room = path.relative_to(PACKAGE).parts[0]
        if room in ("figures", "report"):  # custom properties of style sheets look alike
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for name in re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value):
                    assert name in known, f"{path.relative_to(ROOT)}:{node.lineno} names {name}"


def test_rooms_look_only_where_they_may() -> None:
    pytest.importorskip("importlinter")
    command = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_importing_the_package_is_quick_and_light() -> None:
    code = (
        "import time; t = time.perf_counter(); import retrain_equivalence; t = time.perf_counter() - t; import sys; "
        "assert not {'torch', 'transformers', 'numpy', 'pandas', 'yaml', 'pydantic'} & set(sys.modules); print(t)"
    )
    took = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    assert min(took) < 0.3


def test_the_statistics_wing_opens_without_torch() -> None:
    """Everything public, and the command line, imports on a machine that has no torch at all."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'transformers', 'peft'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import retrain_equivalence as r\n"
        "for name in r.__all__: getattr(r, name)\n"
        "from retrain_equivalence.cli import app"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
