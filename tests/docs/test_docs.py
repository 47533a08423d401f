"""The documentation says what is: links resolve, generated pages are up to date, examples and commands run."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from retrain_equivalence.equivalence.compare import CONTRASTS as CONTRAST_MODULES
from retrain_equivalence.equivalence.finding import WRITTEN
from retrain_equivalence.histories.orders import ORDERINGS
from retrain_equivalence.metrics.catalogue import DISTANCES
from retrain_equivalence.recipes.probe import PROBE_KINDS
from retrain_equivalence.records.table import COLUMNS, Status
from retrain_equivalence.study.bundled import BUNDLED
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import ACKNOWLEDGEMENT, CONTRASTS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for folder in ("", "docs", "data", "results", ".github/ISSUE_TEMPLATE")
    for path in (ROOT / folder).glob("*.md")
)
VERBS = (
    "run", "plan", "validate", "compare", "report", "judge", "trace", "status", "list", "init", "doctor", "explain",
    "schema", "cite", "store", "theory",
)  # fmt: skip
CHEAP = ("validate", "plan", "list", "init", "schema", "cite", "explain", "theory")
"""Verbs that train nothing: their examples are executed."""

FORBIDDEN = {
    "an open end": r"\b(TODO|FIXME|XXX|TBD)\b",
    "a path of one machine": r"(?<![\w./])/(work|home|root|tmp|Users|mnt|opt)/\w",
}

ids = [str(page.relative_to(ROOT)) for page in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=ids)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def headings(page: Path) -> set[str]:
    """Return the anchors of a page as the usual renderers make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


def run_command(words: list[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a child with a store of its own."""
    environment = {**os.environ, "RETRAIN_EQUIVALENCE_STORE": str(cwd / "store"), **variables}
    environment.pop("RETRAIN_EQUIVALENCE_DATA", None)
    call = [sys.executable, "-c", "from retrain_equivalence.cli.app import main; main()", *words]
    return subprocess.run(call, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "scripts" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each_page
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`", "", text)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        if not other.exists() or (anchor and anchor not in headings(other)):
            broken.append(target)
    assert broken == []


@each_page
@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_forbidden_words(page: Path, what: str) -> None:
    found = [line for line in page.read_text(encoding="utf-8").splitlines() if re.search(FORBIDDEN[what], line)]
    assert found == []


def test_generated_pages_are_up_to_date(make_reference: ModuleType) -> None:
    stale = [path.name for path, text in make_reference.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python scripts/make_reference.py"


@each_page
def test_every_verb_in_the_documentation_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # A comma, a period or the end of code may follow the package's name where it is not a command.
    named = {
        *re.findall(r"^\s*(?:\w+=\S+ )*retrain-equivalence ([a-z]+)", text, flags=re.M),
        *re.findall(r"`retrain-equivalence ([a-z]+)", text),
    }
    assert named <= set(VERBS)


def test_the_list_of_verbs_is_the_command_lines_own(tmp_path: Path) -> None:
    shown = run_command(["--help"], tmp_path, COLUMNS="200").stdout
    assert set(re.findall(r"^  ([a-z]+) {2,}", shown.partition("Commands:")[2], flags=re.M)) == set(VERBS)
    in_readme = re.search(r"^## Verbs\n(.*?)^## ", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert in_readme is not None
    assert set(re.findall(r"`([a-z]+)`", "".join(re.findall(r"^\|([^|]*)\|", in_readme[1], re.M)))) == set(VERBS)


def commands() -> list[str]:
    lines = [
        line.partition("    #")[0].strip() for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()
    ]
    return [line for line in lines if line.startswith("retrain-equivalence ") and line.split()[1] in CHEAP]


def test_the_readmes_cheap_commands_run(tmp_path: Path) -> None:
    listed = commands()
    assert {line.split()[1] for line in listed} >= {"validate", "plan", "list", "init", "explain", "cite"}
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for line in listed:
        done = run_command(shlex.split(line)[1:], tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout.strip(), line


def test_the_schema_is_printed(tmp_path: Path) -> None:
    assert '"$schema"' in run_command(["schema"], tmp_path).stdout


def test_the_readmes_study_is_valid(tmp_path: Path) -> None:
    example, unlearnings = blocks(ROOT / "README.md", "yaml")
    (tmp_path / "study.yaml").write_text(example, encoding="utf-8")
    study = load_study(tmp_path / "study.yaml")
    assert len(study.all_histories()) == 3
    assert study.comparisons[0].margin is not None
    head, _, rest = example.partition("unlearnings:\n")
    others = "".join(line for line in rest.splitlines(keepends=True) if not line.startswith("  - {name: npo"))
    (tmp_path / "methods.yaml").write_text(f"{head}{unlearnings}{others}", encoding="utf-8")
    assert len(load_study(tmp_path / "methods.yaml").unlearnings) == 6


def run_python(example: str, folder: Path) -> str:
    """Run an example as a script, in a child: it may train, and this process shall load no torch for it."""
    (folder / "example.py").write_text(example, encoding="utf-8")
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "example.py"]
    done = subprocess.run(call, cwd=folder, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.study
def test_the_readmes_and_the_results_pages_python_runs(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "README.md", "python")
    printed = run_python(example, tmp_path).splitlines()
    assert printed[0].endswith(" tasks")
    assert any("INCONCLUSIVE" in line for line in printed)
    folder = tmp_path / "results" / "small"
    assert {path.name for path in folder.iterdir()} == {
        "findings.json", "provenance.json", "report.html", "rows.parquet", "study.lock.yaml", "summary.csv",
    }  # fmt: skip
    # The page on results reads the folder that the README's example makes.
    (example,) = blocks(ROOT / "docs" / "results.md", "python")
    assert "INCONCLUSIVE" in run_python(example, tmp_path)


def test_a_foreign_table_is_judged_without_provenance(tmp_path: Path) -> None:
    """What docs/results.md promises: two files are enough for `compare`; `{}` for `report`."""
    from retrain_equivalence.records.table import Row, frame_of, to_parquet
    from retrain_equivalence.study.dump import dump_study

    study = load_study("quickstart", overrides=["replicates=3"])
    rows = [
        Row(history=name, replicate=replicate, unlearning=unlearning, step=20 if unlearning else 0,
            probe="answer_logprob:tofu", item="a", value=-1.0 - 0.01 * replicate, unit="nats/token")
        for history in study.all_histories() for replicate in range(3)
        for name, unlearning in ((history.name, "ga"), (history.oracle().name, ""))
    ]  # fmt: skip
    distinct = list({(row.history, row.replicate, row.unlearning): row for row in rows}.values())
    (tmp_path / "study.lock.yaml").write_text(dump_study(study), encoding="utf-8")
    (tmp_path / "rows.parquet").write_bytes(to_parquet(frame_of(distinct)))
    assert run_command(["compare", "."], tmp_path).returncode == 0
    (tmp_path / "provenance.json").write_text("{}", encoding="utf-8")
    assert run_command(["report", "."], tmp_path).returncode == 0
    assert (tmp_path / "report.html").stat().st_size > 0


def test_the_glossary_defines_what_a_study_and_a_table_can_name() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    contrasts = {module.__name__.rpartition(".")[2] for module in CONTRAST_MODULES} | set(CONTRASTS)
    names = {*contrasts, *DISTANCES, *PROBE_KINDS, *ORDERINGS, "forget_loss", "at_end", "at_each_step", "at_step",
             "at_forget_level"}  # fmt: skip
    assert {name for name in names if f"`{name}" not in text} == set()
    statuses = {status.value.capitalize() for status in Status if status is not Status.OK}
    assert {status for status in statuses if f"**{status}**" not in text} == set()


def test_the_results_page_documents_every_column_field_and_status() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    names = {*COLUMNS, *WRITTEN, *(status.value for status in Status), *DISTANCES}
    assert {name for name in names if f"`{name}`" not in text and f"/{name}`" not in text} == set()


def test_the_paper_index_names_every_paper_study_with_its_numbers() -> None:
    text = (ROOT / "docs" / "paper-index.md").read_text(encoding="utf-8")
    for name in (name for name in BUNDLED if name.startswith("paper-")):
        study = load_study(name)
        stage, unlearning = study.stages[0].training, study.unlearnings[0].phases[0].training
        lora = study.model.tuning.lora  # type: ignore[union-attr]
        row = next(line for line in text.splitlines() if f"| `{name}` |" in line)
        cells = [cell.strip() for cell in row.strip("|").split("|")][2:]
        assert [float(cell) for cell in cells] == [
            stage.learning_rate, unlearning.learning_rate, stage.global_batch_size, unlearning.global_batch_size,
            lora.rank, lora.alpha,
        ]  # fmt: skip


def test_the_acknowledgement_is_quoted_word_for_word() -> None:
    for page in ("README.md", "SAFETY.md", "docs/ethics.md"):
        assert f'acknowledge: "{ACKNOWLEDGEMENT}"' in (ROOT / page).read_text(encoding="utf-8")
