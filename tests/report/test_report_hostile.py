"""Foreign text everywhere a name or a text can stand: it is shown as it is and never becomes markup."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from report_reading import Element, read

from retrain_equivalence.core.errors import visible
from retrain_equivalence.equivalence.finding import from_json
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.records.table import from_parquet
from retrain_equivalence.report.page import render
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

PAYLOADS = (
    "<script>document.title='PWNED'</script>",
    "</script><script>document.title='PWNED'</script>",
    "<img src=x onerror=\"document.title='PWNED'\">",
    "<svg onload=document.title='PWNED'>",
    "<svg><script>document.title='PWNED'</script></svg>",
    '"><b>bold</b>',
    "' onmouseover='document.title=1",
    '" onfocus="document.title=\'PWNED\'" autofocus="',
    "javascript:document.title='PWNED'",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe src=http://127.0.0.1:9/></iframe>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css>",
    "<style>*{display:none}</style>",
    "</style><style>body{display:none}</style>",
    "</title><title>PWNED</title>",
    "<meta http-equiv=refresh content=0;url=http://127.0.0.1:9/>",
    "<base href=http://127.0.0.1:9/>",
    "<form action=http://127.0.0.1:9/><input name=a></form>",
    "<!-- comment",
    "]]><b>",
    "{{ 7*7 }}",
    "{% raw %}",
    "{{ ''.__class__ }}",
    "&lt;script&gt;",
    "&#x3c;b&#x3e;",
    "%3Cscript%3E",
    "\x00<b>\x00",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "line1\u2028line2",
    "＜script＞",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(A1)",
    "-2+3",
    "\t=1",
    "<math><mtext></mtext><mglyph><style>",
    "<details open ontoggle=alert(1)>",
    "A" * 5_000,
)


def material(results: Path) -> tuple[Study, dict[str, Any]]:
    study = load_study(results / "study.lock.yaml")
    tables = report_tables(from_parquet((results / "rows.parquet").read_bytes()), study)
    return study, {
        "lock": (results / "study.lock.yaml").read_text(),
        "tables": tables,
        "findings": from_json((results / "findings.json").read_bytes()),
        "provenance": json.loads((results / "provenance.json").read_text()),
    }


@cache
def poisoned(results: Path, at: int) -> str:
    """Render the planted results with payloads in names, texts, findings, provenance and configuration."""
    study, parts = material(results)

    def payload(i: int) -> str:
        return PAYLOADS[(at + i) % len(PAYLOADS)]

    names = {stage.name: f"{payload(i)}{i}" for i, stage in enumerate(study.stages)}
    unlearnings = {u.name: f"{payload(i + 4)}{i}" for i, u in enumerate(study.unlearnings)}
    renamed = replace(
        study,
        name=payload(8),
        question=payload(9),
        notes=payload(10),
        stages=tuple(replace(stage, name=names[stage.name]) for stage in study.stages),
        unlearnings=tuple(replace(u, name=unlearnings[u.name]) for u in study.unlearnings),
    )
    histories = {
        old.name: new.name for old, new in zip(study.all_histories(), renamed.all_histories(), strict=True)
    } | {old.name: new.name for old, new in zip(study.oracles(), renamed.oracles(), strict=True)}
    known = histories | names | unlearnings

    def changed(key: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if key == "reason":
            return payload(11)
        if key in ("probe", "forget_probe", "utility_probe", "test_set") and ":" in value:
            kind, _, rest = value.partition(":")
            stage, slash, variant = rest.partition("/")
            return f"{kind}:{names.get(stage, stage)}{slash}{variant}"
        return known.get(value, value)

    tables = {
        name: [{k: changed(k, v) for k, v in row.items()} for row in rows] for name, rows in parts["tables"].items()
    }
    findings = [
        replace(
            f, history=histories.get(f.history, f.history), other=histories.get(f.other, f.other),
            unlearning=unlearnings.get(f.unlearning, f.unlearning), probe=changed("probe", f.probe),
            test_set=changed("test_set", f.test_set), reason=payload(12), rationale=payload(13) if f.rationale else "",
        )
        for f in parts["findings"]
    ]  # fmt: skip
    provenance = parts["provenance"] | {
        "datasets": {text: {"source": text, "licence": text, "warnings": [text]} for text in PAYLOADS},
        "command": payload(14),
        "extra": {text: {text: [text, {text: text}]} for text in PAYLOADS},
        "model": {"notes": list(PAYLOADS)},
        "tasks": {"planned": 1, "reused": 0, "failed": list(PAYLOADS), "waiting": 0},
        "cost": {text: {"seconds": 1.0, "tokens": text} for text in PAYLOADS},
    }
    return render(renamed, lock="\n".join(PAYLOADS), tables=tables, findings=findings, provenance=provenance)


def names_of(document: Element) -> set[str]:
    return {e.name for e in document.all()}


@pytest.fixture(scope="module")
def benign(results: Path) -> Element:
    study, parts = material(results)
    return read(render(study, **parts))


@pytest.mark.parametrize("at", [0, 14, 28])
def test_payloads_are_shown_and_make_no_element(results: Path, benign: Element, at: int) -> None:
    page = poisoned(results, at)
    document = read(page)
    assert names_of(document) <= names_of(benign)
    attributes = {a for e in document.all() for a in e.attributes}
    assert attributes <= {a for e in benign.all() for a in e.attributes}
    titles = [e.text() for e in document.all("title") if e in document.all("head")[0].children]
    assert titles == [f"{visible(PAYLOADS[(at + 8) % len(PAYLOADS)])}: retrain equivalence report"]
    text = document.text()
    for payload in PAYLOADS:
        for line in payload.split("\n"):
            assert visible(line) in text, payload[:60]
    assert not [c for c in page if c != "\n" and not c.isprintable()]


def test_template_syntax_is_not_evaluated(results: Path) -> None:
    text = read(poisoned(results, 0)).text()
    assert "{{ 7*7 }}" in text and "{{ ''.__class__ }}" in text


def test_styles_and_policy_are_those_of_the_benign_page(results: Path, benign: Element) -> None:
    document = read(poisoned(results, 14))
    for name in ("style", "meta"):
        assert [(e.attributes, e.text()) for e in document.all(name)] == [
            (e.attributes, e.text()) for e in benign.all(name)
        ]


@pytest.fixture(scope="module")
def poisoned_file(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("poisoned") / "report.html"
    path.write_text(poisoned(results, 0))
    return path


@pytest.mark.browser
def test_a_browser_runs_nothing_of_it(poisoned_file: Path) -> None:
    from report_browser import opened

    with opened(poisoned_file) as (page, seen):
        assert "PWNED" not in page.title().replace("document.title='PWNED'", "")
        assert page.evaluate("document.querySelectorAll('script, img, iframe, form, base, math').length") == 0
        assert page.evaluate("document.querySelectorAll('[onload], [onerror], [onfocus], [onmouseover]').length") == 0
        assert PAYLOADS[0] in page.inner_text("main")
    assert seen == []
