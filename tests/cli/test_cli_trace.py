"""From an id on a page to the rows behind the number, as typed."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from report_synthetic import every_contrast, margins_and_gaps, rows, write_results

from retrain_equivalence.cli import app
from retrain_equivalence.equivalence.finding import Finding, from_json
from retrain_equivalence.records.table import combine
from retrain_equivalence.report.page import write_report
from retrain_equivalence.study.load import load_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planted results folder with its page."""
    directory, text = tmp_path_factory.mktemp("trace"), every_contrast(replicates=3, oracles=2)
    (directory / "study.yaml").write_text(text)
    study = load_study(directory / "study.yaml")
    root = write_results(directory / "out", text, frame=combine([rows(study), margins_and_gaps(study)]))
    write_report(root)
    return root


def wanted(folder: Path, contrast: str, quantity: str) -> Finding:
    return next(
        f
        for f in from_json((folder / "findings.json").read_bytes())
        if (f.contrast, f.quantity, f.alignment) == (contrast, quantity, "at_end")
        and f.test_set == "forget" and f.probe.endswith("/hellinger")
    )  # fmt: skip


def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["retrain-equivalence", "trace", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_rows_of_a_distance_give_its_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = wanted(folder, "oracle_distance", "D_ho")
    code, out, err = typed(monkeypatch, capsys, folder, finding.id, "--csv")
    assert (code, err) == (0, "")
    read = list(csv.DictReader(io.StringIO(out)))
    # Three runs against each of the four oracle runs of another replicate.
    assert len(read) == 12 and {row["item"] for row in read} == {"forget"}
    assert sum(float(row["value"]) for row in read) / 12 == pytest.approx(finding.estimate)


def test_a_number_is_shown_with_the_counts_of_its_rows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = wanted(folder, "oracle_distance", "D_ho/D_oo")
    code, out, _ = typed(monkeypatch, capsys, folder, finding.id.upper())
    assert code == 0 and f"finding {finding.id}" in out and "22 rows behind it" in out and finding.method in out
    _, out, _ = typed(monkeypatch, capsys, folder, finding.id, "--json")
    (found,) = json.loads(out)
    assert found["finding"]["estimate"] == finding.estimate
    assert sorted((line["step"], line["rows"]) for line in found["rows"]) == [(0, 10), (finding.step, 12)]


def test_an_unknown_id_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = typed(monkeypatch, capsys, folder, "deadbeef")
    assert (code, out, len(err.splitlines())) == (4, "", 1) and "E-DATA-82" in err


def test_every_id_of_the_page_is_a_finding(folder: Path) -> None:
    known = {f.id: f.contrast for f in from_json((folder / "findings.json").read_bytes())}
    page = (folder / "report.html").read_text()
    shown = set(re.findall(r"<td>([0-9a-f]{8})</td>", page)) | set(re.findall(r">id ([0-9a-f]{8})<", page))
    assert shown <= set(known)
    assert {known[one] for one in shown} >= {
        "oracle_distance", "improvement", "stopping_price", "distribution", "path_spread", "path_gap",
        "excess_path_gap", "growth", "recency", "difference",
    }  # fmt: skip


def test_tracing_loads_no_torch(folder: Path) -> None:
    words = ["retrain-equivalence", "trace", str(folder), wanted(folder, "improvement", "D_ho(end)-D_ho(0)").id]
    code = (
        "import sys; from retrain_equivalence.cli import app\n"
        f"sys.argv = {words!r}\n"
        "try: app.main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
