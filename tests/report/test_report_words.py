from __future__ import annotations

from pathlib import Path

import pytest
from report_synthetic import study_text

from retrain_equivalence.figures.elements import Column, Section, Table, fitted
from retrain_equivalence.histories.history import History
from retrain_equivalence.report.words import counted, interval, listed, named, number, probe
from retrain_equivalence.report.words import test_set as words_of_test_set
from retrain_equivalence.study.load import load_study


def histories(tmp_path: Path, value: str, **options: bool) -> tuple[History, ...]:
    path = tmp_path / "study.yaml"
    path.write_text(study_text(histories=value, **options))  # type: ignore[arg-type]
    return load_study(path).all_histories()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (1.5, "1.5"), (0.00001234, "1.23e−05"), (123456.7, "123,457"), (-2.0, "−2"), (None, "–"),
     (float("nan"), "–"), (12.345, "12.3"), (7, "7")],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_phrases() -> None:
    assert interval(None, 1.0) == "–" and counted(0, "run") == "0 runs" and listed([]) == ""
    assert words_of_test_set("retain:a:b") == "retain items of a:b"
    assert probe("prediction:safety/hellinger") == "next-token predictions: safety, squared Hellinger distance"
    assert probe("accuracy:math/samples_strict") == "accuracy: math, samples, strict"


def test_positions_name_the_histories_where_they_tell_them_apart(tmp_path: Path) -> None:
    assert [n.short for n in named(histories(tmp_path, "forget_at_each_position")).values()] == ["p1", "p2", "p3", "p4"]


def test_orders_are_numbered(tmp_path: Path) -> None:
    shorts = [n.short for n in named(histories(tmp_path, "all_orders")).values()]
    assert shorts[:2] == ["H1", "H2"] and len(set(shorts)) == 24


def test_another_sample_order_is_marked(tmp_path: Path) -> None:
    assert [n.short for n in named(histories(tmp_path, "shuffle_only")).values()] == ["p4", "p4~1"]


def test_the_page_is_cut_fairly_and_says_how_much() -> None:
    def table(n: int) -> Table:
        return Table.of("t", (Column(head="n", text=str),), range(n), prefer=lambda i: i % 10 == 0)

    (section,) = fitted([Section(name="s", title="S", tables=(table(30), table(1000)))], most=200)
    small, large = section.tables
    assert len(small.rows) == 30 and small.left_out == 0
    assert [row[0] for row in large.rows] == [str(i) for i in range(0, 700, 10)] and large.left_out == 930


def test_probes_by_test_set_are_read_as_such() -> None:
    assert probe("expected_loss:held_out") == "expected loss on held-out forget items"
    assert probe("label_margin:retain:tofu") == "label margin on retain items of tofu"
    assert probe("parameters/relative_l2") == "weights: relative L2 distance"
