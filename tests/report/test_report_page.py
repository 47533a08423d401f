from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from report_reading import read
from report_synthetic import PROVENANCE, rows, study_text, write_results

from retrain_equivalence.core.codes.report import CODES
from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence.finding import from_json
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.recipes.model import GgufModel
from retrain_equivalence.records.table import from_parquet, to_parquet
from retrain_equivalence.report.page import render, write_report
from retrain_equivalence.study.load import load_study


def test_the_answer_stands_before_everything_else(page: str) -> None:
    sections = [e.attributes["id"] for e in read(page).all("section")]
    assert sections[:3] == ["answer", "claims", "tree"] and sections[-2:] == ["cost", "citations"]
    assert {"trajectories", "distances", "path-gap", "recency", "utility", "findings", "stage-losses", "runs",
            "configuration", "provenance"} <= set(sections)  # fmt: skip
    (headline,) = [e for e in read(page).all("p") if e.attributes.get("class") == "headline"]
    assert re.search(r"EQUIVALENT|DIFFERENT|INCONCLUSIVE", headline.text())


def test_every_unlearning_and_test_set_has_a_sentence_with_interval_and_n(page: str, results: Path) -> None:
    lists = [e for e in read(page).all("ul") if e.attributes.get("class") == "statements"]
    statements = [item for one in lists for item in one.all("li")]
    texts = [" ".join(e.text().split()) for e in statements]
    for unlearning in ("ga", "npo", "simnpo"):
        for where in ("forget items", "held-out forget items", "retain items of tofu", "generic text"):
            (text,) = [
                t for t in texts if t.startswith(f"{unlearning} on {where}") or f" {unlearning} on {where} " in t
            ]
            assert "95 % interval" in text and "n = " in text and "margin 1.5 times the band" in text
    judged = [f for f in json.loads((results / "findings.json").read_text())["findings"] if f["verdict"]]
    assert len(texts) == len(
        {(f["contrast"], f["probe"], f["quantity"], f["unlearning"], f["test_set"]) for f in judged}
    )


def test_eight_sentences_stand_open_and_the_others_can_be_opened(page: str) -> None:
    answer = next(e for e in read(page).all("section") if e.attributes["id"] == "answer")
    (first, more) = [e for e in answer.all("ul") if e.attributes.get("class") == "statements"]
    assert len(first.all("li")) == 8 and more in answer.all("details")[0].children
    abouts = [e.all("strong")[0].text() for e in more.all("li")]
    assert all(" on " in about and not about.endswith(" on forget items") for about in abouts)
    assert f"{len(more.all('li'))} more sentences" in answer.all("summary")[0].text()


def test_the_recency_section_says_per_unlearning_whether_it_shows_and_as_what(page: str) -> None:
    section = next(e for e in read(page).all("section") if e.attributes["id"] == "recency")
    points = next(e for e in section.all("ul") if e.attributes.get("class") == "points").all("li")
    texts = {e.all("strong")[0].text(): " ".join(e.text().split()) for e in points}
    assert list(texts) == ["ga:", "npo:", "simnpo:"]
    # The fixture's simnpo moves too little for any run to reach the oracle's level.
    assert "undefined: no run reached the level by step 30" in texts.pop("simnpo:")
    for text in texts.values():
        assert "95 % interval of the difference" in text and "n = " in text
        assert "head start" in text and "speed" in text


def test_a_placebo_is_a_yardstick_and_no_line(tmp_path: Path) -> None:
    text = study_text(with_math=False, replicates=3, oracles=2, histories="[forget_at_each_position, placebo]")
    text += "placebo: {generated: arithmetic, rows: 512}\n"
    (tmp_path / "study.yaml").write_text(text)
    frame = rows(load_study(tmp_path / "study.yaml"))
    is_placebo = frame["history"].astype(str).str.contains("placebo") & (frame["unlearning"].astype(str) != "")
    path = write_report(write_results(tmp_path / "results", text, frame=frame.loc[~is_placebo].reset_index(drop=True)))
    document = read(path.read_text())
    text = document.text()
    assert re.search(r"placebo histories, which learned .*, are [\d.]+ to [\d.]+ times the band", text)
    assert "Interim" not in text and "0 registered runs" not in text
    for legend in (e for e in document.all("ul") if e.attributes.get("class") == "legend"):
        assert not [e for e in legend.all("li") if e.text().strip().startswith("placebo 1")]
    ends = "to the oracle on forget items"
    table = next(e for e in document.all("table") if e.all("caption")[0].text().endswith(ends))
    trained = [[c.text() for c in row.children] for row in table.all("tbody")[0].all("tr") if "trained" in row.text()]
    assert [row[1:3] for row in trained] == [["placebo 1", "0"], ["placebo 2", "0"], ["placebo 3", "0"]]


def test_censored_runs_are_warned_of_first(page: str) -> None:
    (warnings,) = [e for e in read(page).all("div") if e.attributes.get("class") == "warnings"]
    assert "3 runs stopped being finite" in warnings.text() and "(ga)" in warnings.text()


def test_the_page_is_one_file_without_script_or_request(page: str) -> None:
    document = read(page)
    names = {e.name for e in document.all()}
    assert not names & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "foreignobject",
        "animate",
        "set",
        "a:",
    }
    style = document.all("style")[0].text()
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(e for e in document.all("meta") if "http-equiv" in e.attributes).attributes["content"]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashed}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style and "@import" not in style
    links = [e.attributes.get("href", "") for e in document.all()]
    assert {link for link in links if link} <= {"data:,"} | {f"#{e.attributes['id']}" for e in document.all("section")}
    assert not [a for e in document.all() for a in e.attributes if a.startswith("on") or a in ("style", "src")]


def test_the_page_is_small_enough_to_open(page: str) -> None:
    assert len(page.encode()) <= 5_000_000
    assert sum(len(body.all("tr")) for body in read(page).all("tbody")) < 2_000
    assert max(len(svg.all()) for svg in read(page).all("svg")) <= 200


def test_headings_go_down_one_level_at_a_time_and_landmarks_are_there(page: str) -> None:
    document = read(page)
    levels = [int(e.name[1]) for e in document.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for name in ("main", "header", "footer", "nav"):
        assert len(document.all(name)) == 1
    assert document.all("html")[0].attributes["lang"] == "en"
    first = document.all("body")[0].children[0]
    assert (first.name, first.attributes["href"]) == ("a", "#answer")


def test_ids_are_unique_and_every_reference_has_its_target(page: str) -> None:
    document = read(page)
    ids = [e.attributes["id"] for e in document.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    wanted = {e.attributes["aria-labelledby"] for e in document.all() if "aria-labelledby" in e.attributes}
    wanted |= {e.attributes["href"][1:] for e in document.all("a")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert wanted <= set(ids)


def test_every_figure_has_caption_n_interval_table_and_labelled_drawings(page: str) -> None:
    figures = read(page).all("figure")
    assert len(figures) > 10
    for figure in figures:
        (caption,) = figure.all("figcaption")
        assert re.search(r"n = \d", caption.text()) and "interval" in caption.text(), caption.text()
        assert figure.all("details")[0].all("table")[0].all("tbody")[0].all("tr")
        drawings = [e for e in figure.all("svg") if e.attributes.get("role") == "img"]
        assert drawings and all(len(e.attributes["aria-label"]) > 20 for e in drawings)
        assert all(e.attributes.get("aria-hidden") == "true" for e in figure.all("svg") if e not in drawings)


def test_every_table_has_caption_and_scopes_and_can_be_scrolled_by_keyboard(page: str) -> None:
    document = read(page)
    regions = [e for e in document.all("div") if e.attributes.get("role") == "region"]
    assert sum(len(r.all("table")) for r in regions) == len(document.all("table"))
    assert all(r.attributes["tabindex"] == "0" for r in regions)
    for table in document.all("table"):
        assert table.all("caption")[0].text().strip()
        assert all(e.attributes["scope"] == "col" for e in table.all("thead")[0].all("th"))
        for row in table.all("tbody")[0].all("tr"):
            assert row.children[0].name == "th" and row.children[0].attributes["scope"] == "row"
            assert len(row.children) == len(table.all("thead")[0].all("th"))


def test_prefix_tree_counts_are_those_of_the_histories(page: str) -> None:
    # Three positions of three stages are 8 trainings; alone 3 x 3 + 2 for the oracle; 2 oracle-only replicates of 2.
    assert "8 trainings per replicate instead of 11 without sharing" in page
    assert "28 instead of 37" in page


def test_the_locked_study_is_shown_word_for_word(page: str, results: Path) -> None:
    shown = read(page).all("pre")[0].all("code")
    lock = (results / "study.lock.yaml").read_text().rstrip("\n").split("\n")
    assert [code.text() for code in shown] == lock


def test_provenance_names_source_licence_and_digest_of_every_set(page: str) -> None:
    text = read(page).text()
    for name, about in PROVENANCE["datasets"].items():  # type: ignore[attr-defined]
        assert name in text and about["sha256"] in text and about["licence"] in text


def test_shuffled_rows_give_the_same_bytes(page: str, results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "shuffled"
    shutil.copytree(results, copy)
    frame = from_parquet((copy / "rows.parquet").read_bytes())
    (copy / "rows.parquet").write_bytes(to_parquet(frame.sample(frac=1, random_state=1).reset_index(drop=True)))
    assert write_report(copy).read_text() == page


def test_two_processes_write_the_same_page_without_torch(page: str, results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "again"
    shutil.copytree(results, copy)
    code = (
        "import sys; from pathlib import Path; from retrain_equivalence.report.page import write_report;"
        "write_report(Path(sys.argv[1])); sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (copy / "report.html").read_text() == page
    assert not [path.name for path in copy.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["rows.parquet", "study.lock.yaml", "findings.json", "provenance.json"])
def test_a_missing_file_is_named(results: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "cut"
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("report.html"))
    (copy / name).unlink()
    with pytest.raises(InputError) as caught:
        write_report(copy)
    (problem,) = caught.value.problems
    assert problem.code == "E-DATA-80" and name in problem.place and problem.code in CODES
    assert not (copy / "report.html").exists()


@pytest.mark.parametrize(("name", "content"), [("findings.json", "{"), ("findings.json", '{"version": 9}'),
                                               ("provenance.json", "not json")])  # fmt: skip
def test_a_damaged_file_is_named(results: Path, tmp_path: Path, name: str, content: str) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(results, copy)
    (copy / name).write_text(content)
    with pytest.raises(InputError) as caught:
        write_report(copy)
    assert caught.value.problems[0].code == "E-DATA-81" and caught.value.problems[0].code in CODES


def test_a_gguf_model_is_said_in_every_caption(results: Path) -> None:
    study = load_study(results / "study.lock.yaml")
    page = render(
        replace(study, model=GgufModel(gguf="models/SmolLM2-135M-Instruct.Q4_1.gguf", template="chat")),
        lock=(results / "study.lock.yaml").read_text(),
        tables=report_tables(from_parquet((results / "rows.parquet").read_bytes()), study),
        findings=from_json((results / "findings.json").read_bytes()),
        provenance=PROVENANCE,
    )
    for caption in read(page).all("figcaption"):
        assert "dequantised from a 4-bit GGUF file (SmolLM2-135M-Instruct.Q4_1.gguf)" in caption.text()


def test_interim_results_and_an_unlearning_that_moves_nothing_are_warned_of(tmp_path: Path) -> None:
    text = study_text(with_math=False, replicates=3, oracles=0)
    (tmp_path / "study.yaml").write_text(text)
    frame = rows(load_study(tmp_path / "study.yaml"))
    frame = frame.loc[~((frame["replicate"] == 2) & (frame["unlearning"] == "simnpo"))].reset_index(drop=True)
    is_loss = frame["probe"] == "forget_loss"
    keys = list(zip(*(frame[name].astype(str) for name in ("history", "replicate", "item")), strict=True))
    trained = is_loss & (frame["unlearning"] == "")
    start = {key: value for key, value, is_start in zip(keys, frame["value"], trained, strict=True) if is_start}
    still = is_loss & (frame["unlearning"] == "npo")
    frame.loc[still, "value"] = [start[key] for key, is_still in zip(keys, still, strict=True) if is_still]
    page = write_report(write_results(tmp_path / "results", text, frame=frame)).read_text()
    assert re.search(r"Interim: 3 of \d+ registered runs are not in the table yet", page)
    assert "npo moved nothing for p1, p2 and p3" in page and "ga moved nothing" not in page


def test_six_orders_fit_into_the_page(tmp_path: Path) -> None:
    text = study_text(histories="all_orders", with_math=False, replicates=2, oracles=0)
    path = write_report(write_results(tmp_path / "orders", text))
    document = read(path.read_text())
    assert path.stat().st_size <= 5_000_000
    assert sum(len(body.all("tr")) for body in document.all("tbody")) < 2_000
    assert "15 trainings per replicate instead of 22" in document.text()
    assert "more rows are not shown here" in document.text()
