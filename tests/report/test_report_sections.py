"""Sections on prices, improvements, laws, components and growth, drawn from tables that are written by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_synthetic import study_text

from retrain_equivalence.equivalence.finding import Finding, Verdict, id_of
from retrain_equivalence.figures.elements import Figure, Section
from retrain_equivalence.report.claims import claims
from retrain_equivalence.report.growth import growth
from retrain_equivalence.report.improvement import improvement
from retrain_equivalence.report.laws import laws
from retrain_equivalence.report.material import Material
from retrain_equivalence.report.path_gap import path_gap
from retrain_equivalence.report.spread import spread
from retrain_equivalence.report.stopping import stopping
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

PROBE = "prediction:safety/hellinger"
SETS = ("forget", "held_out")
UNIT = "Hellinger²"
Tables = dict[str, Sequence[dict[str, Any]]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    file = tmp_path_factory.mktemp("sections") / "study.yaml"
    file.write_text(study_text(with_math=False, histories="all_orders", replicates=8, oracles=4))
    return load_study(file)


def _common(test_set: str, **more: Any) -> dict[str, Any]:
    return {"probe": PROBE, "measure": "hellinger", "unit": UNIT, "test_set": test_set, **more}


def tables(study: Study) -> Tables:
    """Return every table that the sections read; the numbers differ by place, so that a mixed-up cell shows."""
    histories = list(study.all_histories())
    names = [h.name for h in histories]
    position = {h.name: h.position() for h in histories}
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in (
        "runs", "bands", "distances", "stopping", "improvements", "spread", "path_gap", "excess", "distribution",
        "growth", "growth_pairs", "stage_losses",
    )}  # fmt: skip
    for u in ("", *(u.name for u in study.unlearnings)):
        made["runs"] += [
            {"history": h, "position": position[h], "unlearning": u, "registered": 8, "ok": 8, "censored": 0,
             "failed": 0, "unscored": 0, "missing": 0, "first_censored_step": None}
            for h in names
        ]  # fmt: skip
    oracles = [o.name for o in study.oracles()]
    for s in SETS:
        for i, o in enumerate(oracles):
            for other in ("", *oracles[i + 1 :]):
                made["bands"].append(_common(s, oracle=o, other_oracle=other, mean=0.02 if not other else 0.05,
                                             low=0.01, high=0.03, n=12, reason=""))  # fmt: skip
        for u in study.unlearnings:
            for k, h in enumerate(histories):
                for step in u.steps:
                    made["distances"].append(
                        _common(s, unlearning=u.name, history=h.name, position=position[h.name],
                                oracle=h.oracle().name, step=step, last=step == 30,
                                mean=0.1 + 0.001 * (step - 10 - k) ** 2 / 10, low=0.09, high=0.2, n=8, n_oracles=12,
                                band_mean=0.02, band_low=0.01, band_high=0.03, band_n=12, ratio=4.0, ratio_low=3.0,
                                ratio_high=5.0, bias=0.08, bias_low=0.07, bias_high=0.09, censored=0, failed=0)
                    )  # fmt: skip
                made["improvements"].append(
                    _common(s, unlearning=u.name, history=h.name, position=position[h.name],
                            mean=-0.01 * (k - 1), low=-0.03 - 0.01 * (k - 1), high=0.02 - 0.01 * (k - 1), n=8,
                            verdict=["EQUIVALENT", None][k % 2])
                )  # fmt: skip
                for quantity, step in (("D_ho at own best step", 10), ("D_ho at common best step", 5)):
                    made["stopping"].append(
                        _common(s, unlearning=u.name, quantity=quantity, history=h.name, position=position[h.name],
                                step=step, mean=0.1, low=0.05, high=0.15, n=8)
                    )  # fmt: skip
                for probe in (PROBE, f"label_margin:{s}"):
                    made["distribution"].append(
                        {"probe": probe, "test_set": s, "unlearning": u.name, "history": h.name,
                         "other": h.oracle().name, "position": position[h.name], "step": 30, "unit": "√(Hellinger²)",
                         "statistic": 0.04, "null_mean": 0.001, "gaussian_kl": 0.91 if probe != PROBE else None,
                         "gaussian_kl_null": 0.88 if probe != PROBE else None, "p_value": 0.0123,
                         "smallest_p": 0.00202, "n": 8,
                         "n_oracles": 4, "independent": "oracle-only replicates", "reason": "", "censored": 0,
                         "failed": 0}
                    )  # fmt: skip
            for quantity, mean, low in (("price", 0.0123, 0.004), ("largest price", 0.02, 0.01),
                                        ("naive price", 0.0456, None)):  # fmt: skip
                made["stopping"].append(
                    _common(s, unlearning=u.name, quantity=quantity, history="", position=None, step=None, mean=mean,
                            low=low, high=None if low is None else 0.03, n=8)
                )  # fmt: skip
            for step in (0, 30):
                made["spread"].append(
                    _common(s, unlearning=u.name if step else "", step=step, last=step == 30,
                            history_component=0.0031, history_low=0.001, history_high=0.006, seed_component=0.0012,
                            ratio=2.58, p_value=0.0078, n=8)
                )  # fmt: skip
            for a, b in ((names[0], names[1]), (names[0], names[2])):
                pair: dict[str, Any] = {
                    "unlearning": u.name, "history": a, "other": b, "alignment": "at_step", "last": True, "low": 0.001,
                    "high": 0.03, "n": 8, "seed_mean": 0.01, "ratio": 1.5, "censored": 0, "failed": 0,
                }  # fmt: skip
                made["path_gap"].append(_common(s, step=30, mean=0.0211, **pair))
                made["excess"].append(_common(s, step=30, mean=0.0077, **pair))
    for u, word in zip(study.unlearnings, ("exponential", "frozen", "contracting"), strict=True):
        row: dict[str, Any] = {
            "unlearning": u.name, "predicted": "", "probe": "gap/label_logp", "measure": "label_logp",
            "test_set": "forget", "unit": "log units/step", "steps": 7, "n": 8, "seed_n": 8, "margin": 0.01,
            "word": "expands", "class": word, "seed_class": "frozen", "last_share": None, "ceiling": "", "reason": "",
            "censored": 1, "failed": 2,
        }  # fmt: skip
        for prefix in ("", "early_", "late_", "change_"):
            for who, stem in (("path_rate", "path"), ("seed_rate", "seed"), ("difference", "difference")):
                row |= {f"{prefix}{who}": 0.08, f"{prefix}{stem}_low": 0.05, f"{prefix}{stem}_high": 0.11}
        weights = {"probe": "gap/parameters", "measure": "parameters", "test_set": "weights"}
        made["growth"] += [row, row | weights]
        made["growth_pairs"].append(
            {"unlearning": u.name, "probe": "gap/label_logp", "measure": "label_logp", "test_set": "forget",
             "history": names[0], "other": names[1], "unit": "log units/step", "rate": 0.07, "rate_low": 0.05,
             "rate_high": 0.09, "early": 0.06, "early_low": 0.04, "early_high": 0.08, "late": 0.08, "late_low": 0.05,
             "late_high": 0.1, "change": 0.02, "change_low": 0.0, "change_high": 0.04, "word": "expands",
             "margin": 0.01, "class": word, "n": 8, "reason": "", "censored": 0, "failed": 0}
        )  # fmt: skip
    for h in histories:
        for when, mean in (("before", 4.0), ("after", 0.31), ("end", 0.62), ("oracle", 3.9)):
            made["stage_losses"].append(
                {"history": h.name, "position": position[h.name], "stage": "safety", "role": "forget", "when": when,
                 "unit": "nats/token", "mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 8}
            )  # fmt: skip
    return dict(made)


def material(study: Study, made: Tables, findings: Sequence[Finding] = ()) -> Material:
    return Material(study=study, lock="", tables=made, findings=findings, provenance={})


@pytest.fixture(scope="module")
def made(study: Study) -> Tables:
    return tables(study)


SECTIONS: dict[str, Callable[[Material], Section]] = {
    "stopping": stopping, "improvement": improvement, "spread": spread, "laws": laws, "path-gap": path_gap,
    "growth": growth,
}  # fmt: skip


def _finding(**fields: Any) -> Finding:
    known: dict[str, Any] = {
        "contrast": "improvement", "quantity": "D_ho(end)-D_ho(0)", "probe": PROBE, "test_set": "forget",
        "unlearning": "ga", "estimate": 0.1, "low": 0.0, "high": 0.2, "n": 8, "unit": UNIT, "method": "m",
        "margin": 0.05, "margin_kind": "value", "verdict": Verdict.INCONCLUSIVE, "reason": "across the margin",
        "n_needed": 23,
    }  # fmt: skip
    return Finding(**(known | fields))


def cells(figure: Figure) -> list[dict[str, str]]:
    return [dict(zip(figure.table.heads, row, strict=True)) for row in figure.table.rows]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_understood_from_its_figures(study: Study, made: Tables, name: str) -> None:
    section = SECTIONS[name](material(study, made))
    assert section.name == name and section.figures and section.title and section.says
    for figure in section.figures:
        assert figure.panels and figure.legend and figure.title
        assert re.search(r"n = 8 replicates", figure.caption) and "interval" in figure.caption
        assert figure.title.endswith("?") or figure.title.startswith(("Path gap", "When", "Can"))
        for panel in figure.panels:
            assert 'role="img"' in panel and len(re.findall("<text", panel)) > 4
        assert all("−0.0" not in cell or len(cell) > 4 for row in figure.table.rows for cell in row)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_without_its_table_shows_nothing(study: Study, made: Tables, name: str) -> None:
    empty = {key: () if key not in ("runs", "bands", "stage_losses") else rows for key, rows in made.items()}
    section = SECTIONS[name](material(study, empty))
    assert not section.figures and not section.tables and not section.points and not section.text


@pytest.mark.parametrize("name", SECTIONS)
def test_every_figure_says_that_the_study_is_interim(study: Study, made: Tables, name: str) -> None:
    runs = [r | {"registered": 4, "ok": 4} for r in made["runs"]]
    section = SECTIONS[name](material(study, {**made, "runs": runs}))
    registered = len(runs) * 8
    for figure in section.figures:
        assert f"Interim: {registered // 2} of {registered} runs." in figure.caption


def test_the_price_stands_beside_the_naive_one(study: Study, made: Tables) -> None:
    section = stopping(material(study, made))
    assert [about for about, _ in section.points] == ["ga", "npo", "simnpo"]
    said = section.points[0][1]
    assert "costs 0.0123 Hellinger² (95 % interval 0.004 to 0.03, n = 8)" in said
    assert "naive price would be 0.0456" in said and "the common step is 5" in said
    first, second = section.figures
    assert not first.folded and second.folded
    rows = cells(first)
    assert [r["history"] for r in rows if r["quantity"].startswith("price")] == ["all"] * 3
    own = [r for r in rows if r["quantity"] == "distance at its own best step"]
    assert {r["step"] for r in own} == {"10"} and len(own) == 3 * len(study.all_histories())
    assert own[0]["id"] == id_of(
        contrast="stopping_price", quantity="D_ho at own best step", probe=PROBE, test_set="forget", unlearning="ga",
        history=study.all_histories()[0].name, other=study.all_histories()[0].oracle().name,
        alignment="at_best_step",
    )  # fmt: skip


def test_own_best_steps_are_ringed_and_the_common_one_stands_upright(study: Study, made: Tables) -> None:
    (panel, *_) = stopping(material(study, made)).figures[0].panels
    without = {**made, "stopping": [r | {"step": None} for r in made["stopping"]]}
    (bare, *_) = stopping(material(study, without)).figures[0].panels
    assert panel.count("<path") - bare.count("<path") >= len(study.all_histories())
    assert "common step 5" in panel and "common step none" in bare


def test_improvement_shows_margins_verdicts_and_what_was_forgotten_before(study: Study, made: Tables) -> None:
    declared = [_finding(history=study.all_histories()[0].name)]
    section = improvement(material(study, made, declared))
    (figure,) = section.figures
    assert {entry.label for entry in figure.legend} >= {
        "equivalent: changed by less than the margin", "estimate; no margin declared", "declared margin",
    }  # fmt: skip
    row = next(r for r in cells(figure) if r["unlearning"] == "ga")
    assert (row["before"], row["after"], row["change"], row["verdict"]) == ("0.11", "0.14", "0.01", "EQUIVALENT")
    (natural,) = section.tables
    assert natural.heads[1:] == ("after its stage", "at the end of training", "oracle, which never saw them")
    assert natural.rows[0][1:] == ("0.31", "0.62", "3.9")


def test_components_have_both_bars_interval_and_p(study: Study, made: Tables) -> None:
    (figure,) = spread(material(study, made)).figures
    assert len(figure.panels) == len(SETS) and [e.label for e in figure.legend] == [
        "between histories", "between seeds of one history",
    ]  # fmt: skip
    assert "ga · p = 0.0078" in figure.panels[0]
    row = cells(figure)[-1]
    assert (row["between histories"], row["between seeds"], row["ratio"], row["p"]) == (
        "0.0031", "0.0012", "2.58", "0.0078",
    )  # fmt: skip


def test_excess_stands_beside_the_path_gap(study: Study, made: Tables) -> None:
    figure = path_gap(material(study, made)).figures[-1]
    assert figure.name == "excess" and "gap 0.0211" in figure.panels[0] and "excess 0.0077" in figure.panels[0]
    assert {r["excess gap"] for r in cells(figure)} == {"0.0077"}


def test_one_oracle_order_leaves_no_excess_to_be_drawn(study: Study, made: Tables) -> None:
    undefined = {**made, "excess": [r | {"mean": None} for r in made["excess"]]}
    assert "excess" not in [figure.name for figure in path_gap(material(study, undefined)).figures]


def test_classes_of_growth_stand_beside_those_of_seeds(study: Study, made: Tables) -> None:
    section = growth(material(study, made))
    rows = cells(section.figures[0])
    assert [(r["unlearning"], r["class of histories"], r["class of seeds"]) for r in rows] == [
        ("ga", "exponential", "frozen"), ("npo", "frozen", "frozen"), ("simnpo", "contracting", "frozen"),
    ]  # fmt: skip
    assert rows[0]["early"] == "0.08 (0.05 to 0.11)" and (rows[0]["censored"], rows[0]["failed"]) == ("1", "2")
    assert "ga · exponential" in section.figures[0].panels[0]
    weights, pairs = section.tables
    assert {row[2] for row in weights.rows} == {"all weights"} and {row[3] for row in pairs.rows} == {"H1 – H2"}


def test_a_law_that_cannot_reach_alpha_has_no_p_but_says_the_smallest(study: Study, made: Tables) -> None:
    rows = [r | {"p_value": None, "smallest_p": 0.067, "reason": "8 against 2 runs cannot give p below 0.067"}
            for r in made["distribution"]]  # fmt: skip
    figure, _ = laws(material(study, {**made, "distribution": rows})).figures
    n = len(rows) // 2
    assert f"where {n} of {n} tests cannot reach 5 %" in figure.caption and "· p =" not in figure.panels[0]
    assert cells(figure)[0]["smallest p"] == "0.067" and "cannot give p below" in cells(figure)[0]["why no p"]
    figure, _ = laws(material(study, made)).figures
    assert "cannot reach" not in figure.caption and "p = 0.012" in figure.panels[0]


def test_laws_of_margins_stand_by_their_test_set_with_both_distances(study: Study, made: Tables) -> None:
    _, margins = laws(material(study, made)).figures
    assert margins.folded and margins.title.endswith("By label margins") and len(margins.panels) == len(SETS)
    row = cells(margins)[-1]
    assert (row["test set"], row["normal KL"], row["normal KL, oracles"]) == ("held-out forget items", "0.91", "0.88")


def test_a_practitioner_reads_the_yardstick_the_band_over_orders_and_what_would_decide(
    study: Study, made: Tables
) -> None:
    findings = [
        _finding(p_value=0.01, p_adjusted=0.03, p_adjustment="maxT"),
        _finding(test_set="held_out", n_needed=None, reason="interim"),
        _finding(unlearning="npo", verdict=Verdict.EQUIVALENT, n_needed=None),
    ]
    section = claims(material(study, made, findings))
    said = dict(section.points)
    assert "All 192 registered runs are in the table: 8 replicates of 6 histories" in said["Whether it is finished"]
    assert "their distance is 0.02 Hellinger²" in said["The yardstick"]
    assert (
        "oracles of different orders are 0.05 Hellinger² apart, of one order 0.02"
        in said["If the order of training is not known"]
    )
    assert "from 1.2 of its standard deviations" in said["What the number of runs can show"]
    assert "2 of 3 verdicts are INCONCLUSIVE" in said["What is undecided"]
    assert "23 replicates would decide 1 of them; for 1 no number" in said["What is undecided"]
    assert "1 p-value by maxT" in said["Several questions at once"]
    read = said["Where to read on"]
    assert "docs/evaluating-unlearning.md" in read and "docs/calibration.md" in read
    (table,) = section.tables
    assert [(row[3], row[-2]) for row in table.rows] == [("forget items", "23"), ("held-out forget items", "–")]


def test_a_declared_look_is_told_from_an_interim_table(study: Study, made: Tables) -> None:
    runs = [r | {"registered": 5, "ok": 5} for r in made["runs"]]
    half = {**made, "runs": runs}
    interim = dict(claims(material(study, half)).points)["Whether it is finished"]
    assert "this is no declared look" in interim and interim.startswith("Interim: 120 of 192 runs")
    look = dict(claims(material(replace(study, looks=(5,)), half)).points)["Whether it is finished"]
    assert "the declared look at 5 of 8 replicates" in look
    end = dict(claims(material(replace(study, looks=(5,)), made)).points)["Whether it is finished"]
    assert "spent over declared looks at 5 of 8 replicates and the end" in end


def test_few_runs_are_told_what_they_cannot_reach(study: Study, made: Tables) -> None:
    for n, words in ((3, "cannot reach 5 % below 6 replicates"), (1, "no interval and no test"),
                     (8, "no p-value below 0.0078")):  # fmt: skip
        said = dict(claims(material(replace(study, replicates=n), made)).points)
        assert words in said["What the number of runs can show"]


def test_nothing_here_reads_a_file(study: Study, made: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", None)
    assert stopping(material(study, made)).figures
