"""The example plug-in is a real package: installed into a fresh environment, listed, tested, and used in a study.

The fresh environment sees this one's packages by a path file and reaches no network: only the example is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plugin"
LOSS = "bounded_ascent.py"
MOST_LINES = 200
"""What a new loss may take as a package of its own, tests, study and README included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An interpreter and a folder to work in."""

    python: Path
    folder: Path

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run `python -m words`; nothing but what is stored below the folder is shared between calls."""
        variables = {**os.environ, "RETRAIN_EQUIVALENCE_STORE": str(self.folder / "store"), "OMP_NUM_THREADS": "1"}
        call = [str(self.python), "-m", *map(str, words)]
        return subprocess.run(
            call, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=240, check=False
        )

    def type(self, *words: object) -> str:
        """Run a verb that must succeed; return its answer."""
        done = self.run("retrain_equivalence", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objectives(self, *words: object) -> dict[str, dict[str, str]]:
        """Return what `list objectives --json` says."""
        listed: dict[str, dict[str, str]] = json.loads(self.type("list", "objectives", "--json", *words))
        return listed


def fresh(folder: Path) -> Environment:
    """Make an environment without the example, and a copy of the example beside it."""
    venv.create(folder / "env", with_pip=False, symlinks=True)
    base = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    own = Path(sysconfig.get_path("purelib", "venv", base))
    packages = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # `addsitedir` and not a bare path: the package itself may be installed here by a path file of its own.
    lines = [f"import site; site.addsitedir({path!r})" for path in packages]
    (own / "running_environment.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copytree(EXAMPLE, folder / "plugin", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    return Environment(python=Path(sysconfig.get_path("scripts", "venv", base)) / "python", folder=folder)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment into which the example is not installed."""
    return fresh(tmp_path_factory.mktemp("without"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment into which the example is installed, without any network."""
    made = fresh(tmp_path_factory.mktemp("installed"))
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    call = [sys.executable, "-m", "pip", "--python", str(made.python), "install", *options, "./plugin"]
    done = subprocess.run(call, cwd=made.folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return made


def sha256() -> str:
    return hashlib.sha256((EXAMPLE / LOSS).read_bytes()).hexdigest()


def sources(out: Path) -> set[str]:
    """Return the sources that a locked study names, the package's own left out."""
    text = (out / "study.lock.yaml").read_text(encoding="utf-8")
    found: set[str] = set()

    def collect(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("source"), str):
                found.add(node["source"])
            for below in node.values():
                collect(below)
        elif isinstance(node, list):
            for below in node:
                collect(below)

    collect(yaml.safe_load(text))
    return found - {""}


def test_a_new_loss_is_small() -> None:
    files = [
        path for path in EXAMPLE.rglob("*") if path.is_file() and not {"__pycache__", ".pytest_cache"} & {*path.parts}
    ]
    assert {path.name for path in files} == {
        LOSS, "test_bounded_ascent.py", "pyproject.toml", "README.md", "study.yaml",
    }  # fmt: skip
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= MOST_LINES


def test_it_is_not_there_until_it_is_installed(without: Environment, installed: Environment) -> None:
    assert "bounded_ascent" not in without.objectives()
    listed = installed.objectives()["bounded_ascent"]
    assert set(installed.objectives()) == {*without.objectives(), "bounded_ascent"}
    assert (listed["needs"], listed["local"], listed["defaults"]) == ("forget", "yes", "nats=6.0")
    assert listed["source"] == "Jang et al. 2023"


def test_its_own_tests_pass_where_it_is_installed(installed: Environment) -> None:
    done = installed.run("pytest", "-q", "-p", "no:cacheprovider", "plugin/test_bounded_ascent.py")
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


@pytest.mark.study
def test_a_study_with_it_runs_to_a_report_and_is_locked(installed: Environment) -> None:
    installed.type("run", "plugin/study.yaml", "--out", "out", "--offline", "--workers", 1)
    out = installed.folder / "out"
    assert "bounded_ascent" in (out / "report.html").read_text(encoding="utf-8")
    version = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert sources(out) == {f"bounded-ascent=={version}@{sha256()}"}
    # The lock is a study: whoever has the package can judge again.
    installed.type("compare", "out")


@pytest.mark.study
def test_the_file_alone_does_as_well(without: Environment) -> None:
    refused = without.run("retrain_equivalence", "validate", "plugin/study.yaml")
    assert (refused.returncode, "unknown objective 'bounded_ascent'" in refused.stderr) == (3, True)
    with_it = ("--plugin", f"plugin/{LOSS}")
    assert "bounded_ascent" in without.objectives(*with_it)
    small = ("--set", "replicates=1", "--set", "oracle_replicates=0", "--set", "comparisons=[]")
    without.type("run", "plugin/study.yaml", *with_it, *small, "--out", "out", "--offline", "--workers", 1)
    assert sources(without.folder / "out") == {f"bounded_ascent@{sha256()}"}
