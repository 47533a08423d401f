"""The section of methods on a planted folder whose gaps have known rates."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_browser import opened
from report_reading import read
from report_synthetic import rows, study_text, write_results

from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import Row, Status, combine, frame_of
from retrain_equivalence.report.page import write_report
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

RATES = {"ga": 0.08, "npo": 0.0, "simnpo": -0.05}


def gap_rows(study: Study, *, seed: int = 3) -> pd.DataFrame:
    """Return coupled gaps `0.4 e^(rt)`, and of replicates `0.5 e^(0.02 t)`, with a replicate's own rate and noise."""
    rng = np.random.default_rng(seed)
    found: list[Row] = []
    names = [h.name for h in study.all_histories()]
    own = rng.normal(0, 0.006, study.replicates)
    for probe, sets, unit in (
        ("gap/label_logp", ("forget", "held_out", "generic"), "nats"),
        ("gap/hellinger", ("forget", "generic"), "Hellinger distance"),
        ("gap/parameters", ("weights",), "L2 norm of weights"),
    ):
        for u in study.unlearnings:
            for step in u.steps:
                if step == 0 and u is not study.unlearnings[0]:
                    continue

                def add(one: tuple[str, int], two: tuple[str, int], value: float) -> None:
                    state, other = (
                        StateName(history=h, replicate=r, unlearning=u.name if step else "", step=step)  # noqa: B023
                        for h, r in (one, two)
                    )
                    found.extend(
                        Row(
                            history=state.history, replicate=state.replicate, unlearning=state.unlearning,
                            step=state.step, probe=probe, item=where, against=str(other),  # noqa: B023
                            value=value * float(np.exp(rng.normal(0, 0.02))), unit=unit,  # noqa: B023
                            status=Status.OK,
                        )
                        for where in sets  # noqa: B023
                    )  # fmt: skip

                for a, b in combinations(names, 2):
                    for r in range(study.replicates):
                        add((a, r), (b, r), 0.4 * float(np.exp((RATES[u.name] + own[r]) * step)))
                for h in names:
                    for r, s in combinations(range(study.replicates), 2):
                        add((h, r), (h, s), 0.5 * float(np.exp((0.02 + (own[r] + own[s]) / 2) * step)))
    return frame_of(found)


def folder(directory: Path, text: str, *, gaps: bool = True) -> Path:
    (directory / "study.yaml").write_text(text)
    study = load_study(directory / "study.yaml")
    table = rows(study)
    frame = combine([table, gap_rows(study)]) if gaps else table
    return write_results(directory / "results", text, frame=frame)


def asking(text: str) -> str:
    return text.replace("comparisons:\n", "comparisons:\n  - {contrast: growth, probe: prediction}\n")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = asking(study_text(with_math=False, replicates=4, oracles=2))
    return write_report(folder(tmp_path_factory.mktemp("methods"), text))


@pytest.fixture(scope="module")
def section(report: Path) -> object:
    return next(e for e in read(report.read_text()).all("section") if e.attributes["id"] == "methods")


def cells(section: object, caption: str) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the table whose caption begins so."""
    for table in section.all("table"):  # type: ignore[attr-defined]
        title = " ".join(table.all("caption")[0].text().split())
        if title.startswith(caption):
            found = [[" ".join(c.text().split()) for c in (*r.all("th"), *r.all("td"))] for r in table.all("tr")]
            return found[0], found[1:]
    raise AssertionError(caption)


def test_one_row_per_method_and_place_with_needs_and_cost(section: object) -> None:
    heads, found = cells(section, "Methods by what they need, at the last step")
    at = {name: i for i, name in enumerate(heads)}
    ends = {r[0]: r for r in found}
    assert set(ends) == {"ga", "npo", "simnpo"}
    assert ends["ga"][at["needs"]] == "forget rows only" and ends["npo"][at["needs"]] == "+ reference"
    assert ends["ga"][at["passes per step"]] == "1 forward, 1 backward"
    assert ends["npo"][at["passes per step"]] == "1 forward, 1 backward; once 1 forward"
    assert list(ends) == ["ga", "simnpo", "npo"], "fewest needs first, then as declared"
    assert ends["ga"][at["diverged"]] == "0 of 12" and ends["ga"][at["collapsed"]] == "0 of 12"
    assert ends["ga"][at["runs at the oracle's level"]] == "12 of 12"
    assert "ga" in {r[0] for r in cells(section, "Methods by what they need, at equal forgetting")[1]}
    assert "→" in ends["npo"][at["distance in bands"]] and ends["npo"][at["improvement"]].startswith("−")


def test_measured_words_stand_beside_the_prediction(section: object) -> None:
    heads, found = cells(section, "Rates at which histories of equal draws part")
    at = {name: i for i, name in enumerate(heads)}
    on_forget = {r[0]: r for r in found if r[at["on"]] == "forget items" and "label" in r[at["gap in"]]}
    assert on_forget["ga"][at["predicted"]] == "expanding" and on_forget["ga"][at["measured"]] == "expands"
    assert on_forget["npo"][at["measured"]] == "not told from frozen"
    assert {r[at["on"]] for r in found} == {"forget items", "held-out forget items", "generic text", "all weights"}
    rate = float(on_forget["ga"][at["rate"]].split()[0])
    assert rate == pytest.approx(RATES["ga"], abs=0.02)


def test_the_aims_are_read_from_needs_verdicts_and_rates(section: object) -> None:
    heads, found = cells(section, "Three aims")
    rows_of = {r[0]: dict(zip(heads, r, strict=True)) for r in found}
    assert all(r["local"] == "✓" for r in rows_of.values())
    assert rows_of["ga"]["path independent"] == "✗" and rows_of["ga"]["the gap"] == "expands"
    assert rows_of["npo"]["path independent"] == "undecided", "no margin of the path gap was declared"
    assert rows_of["ga"]["retrain equivalent"] in ("✓", "✗", "undecided")


def test_the_figure_has_unit_n_and_interval(section: object) -> None:
    (caption,) = [
        " ".join(e.text().split())
        for e in section.all("figcaption")  # type: ignore[attr-defined]
        if "Gap after unlearning over gap before" in e.text()
    ]
    assert "natural log" in caption and "n = 4 replicates" in caption and "95 %" in caption


def test_without_gaps_the_table_still_stands(tmp_path: Path) -> None:
    text = study_text(with_math=False, replicates=3, oracles=2)
    page = read(write_report(folder(tmp_path, text, gaps=False)).read_text())
    section = next(e for e in page.all("section") if e.attributes["id"] == "methods")
    assert cells(section, "Methods by what they need")[1]
    assert not section.all("figure")
    with pytest.raises(AssertionError):
        cells(section, "Rates at which")


@pytest.mark.browser
def test_the_section_fits_and_is_quiet(report: Path) -> None:
    for width in (390, 1280):
        with opened(report, width=width) as (page, seen):
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
            assert page.locator("#methods svg[role=img]").count() == 6
            assert seen == []
