from __future__ import annotations

from pathlib import Path

import pytest
from report_browser import opened
from report_synthetic import every_contrast, margins_and_gaps, rows, write_results

from retrain_equivalence.records.table import combine
from retrain_equivalence.report.page import write_report
from retrain_equivalence.study.load import load_study

pytestmark = pytest.mark.browser
CLIPPED = """() => [...document.querySelectorAll('svg[role=img]')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(t => t.textContent.trim()).filter(t => {
    const b = t.getBoundingClientRect();
    return b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1 || b.bottom > box.bottom + 1;
  }).map(t => t.textContent)
})"""


@pytest.fixture(scope="module")
def file(results: Path, page: str) -> Path:
    path = results / "report.html"
    assert path.read_text() == page
    return path


def test_the_page_opens_without_request_or_console_message(file: Path) -> None:
    with opened(file) as (page, seen):
        assert page.title() == "quickstart: retrain equivalence report"
        assert page.evaluate("document.readyState") in ("interactive", "complete")
    assert seen == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_nothing_overflows_and_no_label_is_clipped(file: Path, width: int, scheme: str) -> None:
    with opened(file, width=width, scheme=scheme) as (page, _):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CLIPPED) == []


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study that asks for every contrast, with oracles of three orders."""
    directory, text = tmp_path_factory.mktemp("every"), every_contrast(replicates=6, oracles=4)
    (directory / "study.yaml").write_text(text)
    study = load_study(directory / "study.yaml")
    return write_report(write_results(directory / "out", text, frame=combine([rows(study), margins_and_gaps(study)])))


@pytest.mark.parametrize("width", [1280, 390])
def test_every_kind_of_figure_fits(every: Path, width: int) -> None:
    with opened(every, width=width) as (page, seen):
        for name in ("claims", "improvement", "stopping", "laws", "spread", "excess", "growth-rates"):
            assert page.locator(f"#{name}").count() == 1, name
        # What is folded away has no size until it is opened.
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CLIPPED) == []
    assert seen == []


def test_the_answer_is_on_the_first_screen(file: Path) -> None:
    with opened(file) as (page, _):
        box = page.locator(".headline").bounding_box()
        assert box["y"] + box["height"] < 900
        assert page.locator(".matrix").first.bounding_box()["y"] < 900


def test_dark_and_light_differ_in_page_and_lines(file: Path) -> None:
    found = []
    for scheme in ("light", "dark"):
        with opened(file, scheme=scheme) as (page, _):
            found.append(
                page.evaluate(
                    "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector("
                    "'#trajectories svg[role=img] path[stroke]')).stroke]"
                )
            )
    assert found[0][0] == "rgb(255, 255, 255)" and found[0][0] != found[1][0] and found[0][1] != found[1][1]


def test_print_is_light_and_opens_the_tables(file: Path) -> None:
    with opened(file, scheme="dark", media="print") as (page, _):
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("nav").is_hidden()
        assert page.locator("details table").first.bounding_box()["height"] > 20


def test_the_skip_link_and_every_table_can_be_reached_by_keyboard(file: Path) -> None:
    with opened(file) as (page, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.locator(".skip").bounding_box()["x"] >= 0
        page.keyboard.press("Enter")
        assert page.url.endswith("#answer")
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.querySelector('details').open")


def test_the_accessibility_tree_names_drawings_and_tables(file: Path) -> None:
    with opened(file) as (page, _):
        # What is closed is not in the tree until it is opened.
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        images = page.get_by_role("img").count()
        assert images == page.evaluate("document.querySelectorAll('svg[role=img]').length") > 10
        assert page.get_by_role("main").count() == page.get_by_role("contentinfo").count() == 1
        assert page.get_by_role("table", name="Distance to the retrain oracle").count() >= 1
