"""The command line as its users have it: processes, exit codes, pipes, and how fast it is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_study

COMMAND = [sys.executable, "-m", "retrain_equivalence"]


def typed(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, cwd=cwd, env=os.environ | environment, timeout=120
    )


def fastest(times: int, *words: object) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        assert typed(*words).returncode == 0
        took.append(time.perf_counter() - began)
    return min(took)


def test_help_is_quick() -> None:
    # Asked: 0.5 s. The least of several, since a busy machine adds only time.
    assert fastest(5, "--help") < 0.5


@pytest.mark.parametrize("words", [("validate",), ("plan",), ("status",)])
def test_reading_verbs_are_quick_and_load_no_torch(tmp_path: Path, words: tuple[str, ...]) -> None:
    store = () if words == ("validate",) else ("--store", tmp_path / "store")
    assert fastest(3, *words, small_study.FILE, *store) < 2.0
    code = (
        "import sys; from retrain_equivalence.cli import app\n"
        f"sys.argv = {['retrain-equivalence', *words, str(small_study.FILE), *map(str, store)]!r}\n"
        "try: app.main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "assert not {'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def wrong_study(folder: Path) -> tuple[Path, str]:
    path = folder / "study.yaml"
    path.write_text(small_study.FILE.read_text().replace("seed: 3", "seed: three"))
    return path, "E-CFG-12"


def rows(folder: Path, text: str) -> Path:
    (folder / "mine.jsonl").write_text(text)
    path = folder / "study.yaml"
    path.write_text(small_study.FILE.read_text().replace("{generated: authors, rows: 24}", "{jsonl: mine.jsonl}"))
    return path


def missing_field(folder: Path) -> tuple[Path, str]:
    return rows(folder, '{"prompt": "a", "response": "b"}\n{"prompt": "c", "ans": "d"}\n'), "E-DATA-03"


@pytest.mark.parametrize(("wrong", "code"), [(wrong_study, 3), (missing_field, 4)])
def test_wrong_input_stops_a_run_before_anything_is_begun(tmp_path: Path, wrong: object, code: int) -> None:
    """A sample as processes; `test_cli_refusals` has every kind."""
    path, expected = wrong(tmp_path)  # type: ignore[operator]
    store, out = tmp_path / "store", tmp_path / "out"
    began = time.perf_counter()
    said = typed("run", path, "--store", store, "--out", out)
    took = time.perf_counter() - began
    if took > 2.0:  # a busy machine may have been in the way once
        began = time.perf_counter()
        typed("run", path, "--store", store, "--out", out)
        took = min(took, time.perf_counter() - began)
    assert took < 2.0
    assert said.returncode == code, said.stderr
    assert said.stdout == ""
    assert len(said.stderr.splitlines()) == 1
    assert said.stderr.startswith(f"error[{expected}]: ")
    assert "Traceback" not in said.stderr
    assert len(said.stderr) <= 301
    assert not out.exists()
    objects = store / "objects"
    assert not objects.exists() or not any(objects.iterdir())


def test_a_reader_who_has_had_enough_is_no_error() -> None:
    for words in (["schema"], ["list", "studies"], ["explain", "E-DATA-03"]):
        child = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        said = child.stderr.read()
        child.stderr.close()
        assert (child.wait(timeout=60), said) == (0, b"")


def test_exit_codes_of_store_and_machine(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "something").write_text("else")
    assert typed("store", "ls", "--store", foreign).returncode == 5
    (tmp_path / "file").write_text("")
    assert typed("store", "ls", "--store", tmp_path / "file" / "below").returncode == 6
    assert typed("compare", tmp_path / "nowhere").returncode == 4


def test_a_busy_store_is_not_collected(tmp_path: Path) -> None:
    """Exit 7 while another process uses the store."""
    code = (
        "import sys, time; from pathlib import Path; from retrain_equivalence.store.local import LocalStore\n"
        f"with LocalStore(Path({str(tmp_path / 'store')!r})).in_use():\n print('in use', flush=True); time.sleep(60)"
    )
    small_study.run_small(tmp_path, *small_study.BARE)
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in use\n"
        said = typed("store", "gc", tmp_path / "out", "--store", tmp_path / "store")
        assert (said.returncode, "E-LOCK-02" in said.stderr) == (7, True)
    finally:
        holder.kill()
        holder.communicate()
        holder.stdout.close()


def test_both_names_of_the_command_are_one() -> None:
    script = Path(sys.executable).with_name("retrain-equivalence")
    assert script.is_file()
    found = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert found.stdout == typed("--version").stdout


def test_an_answer_is_the_same_for_every_width_colour_and_locale(tmp_path: Path) -> None:
    words = ("list", "objectives", "--json")
    assert typed(*words, COLUMNS="20", NO_COLOR="1", LC_ALL="C").stdout == typed(*words, COLUMNS="300").stdout
    said = typed("plan", small_study.FILE, "--store", tmp_path / "s", LC_ALL="C", PYTHONIOENCODING="utf-8")
    assert "\x1b" not in said.stdout
