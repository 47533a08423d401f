from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import planted
import pytest
from planted import asks, distance_rows, frame, still, study, vectors

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import to_json
from retrain_equivalence.equivalence.summary import MOST_OF_A_KIND, cell, summarised, summary_csv
from retrain_equivalence.equivalence.tables import TABLES, report_tables
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import from_parquet, to_parquet

GIVEN = study(
    asks("oracle_distance", times_band=1.5),
    asks("path_gap", value=0.3, alignment="at_each_step"),
    asks("growth"),
    asks("recency", "forget_loss"),
    asks("difference", "forget_loss", value=0.3),
    replicates=6,
    oracle_replicates=2,
)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = distance_rows(GIVEN, vectors(GIVEN, still(1.0), seed=1))
    rng = np.random.default_rng(0)
    places = [("", 0), *(("ga", step) for step in range(1, 9))]
    for history in GIVEN.all_histories():
        for r in range(6):
            for method, step in places:
                state = StateName(history=history.name, replicate=r, unlearning=method, step=step)
                for k in range(4):
                    value = 1.0 + 0.2 * step + 0.1 * rng.normal()
                    rows.append(planted.row(state, "forget_loss", f"i{k}", value, "nats/token"))
                    if step in planted.STEPS:
                        rows.append(planted.row(state, "forget_score:safety/label", f"i{k}", -value, "nats/token"))
                        rows.append(planted.row(state, "answer_logprob:instruct", f"i{k}", -value, "nats/token"))
    for r in range(8):
        for k in range(4):
            state = StateName(history="instruct", replicate=r)
            rows.append(planted.row(state, "forget_loss", f"i{k}", 2.0 + 0.1 * rng.normal(), "nats/token"))
            rows.append(planted.row(state, "stage_loss:safety", f"i{k}", 2.0 + 0.1 * rng.normal(), "nats/token"))
    return frame(rows)


def test_shuffled_rows_give_the_same_bytes(table: pd.DataFrame) -> None:
    whole = to_json(compare(table, GIVEN))
    for seed in range(3):
        shuffled = table.sample(frac=1.0, random_state=seed, ignore_index=True)
        assert to_json(compare(shuffled, GIVEN)) == whole
    assert to_json(compare(from_parquet(to_parquet(table)), GIVEN)) == whole


def test_text_columns_need_not_be_categories(table: pd.DataFrame) -> None:
    plain = table.astype({name: "object" for name in table.columns if table[name].dtype.name == "category"})
    assert compare(plain, GIVEN) == compare(table, GIVEN)


def test_duplicated_rows_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="E-DATA-51"):
        compare(pd.concat([table, table.iloc[:1]], ignore_index=True), GIVEN)


def test_an_empty_table_has_no_findings() -> None:
    assert compare(frame([]), GIVEN) == []


def test_every_finding_says_why(table: pd.DataFrame) -> None:
    findings = compare(table, GIVEN)
    assert {f.contrast for f in findings} == {
        "band", "oracle_distance", "path_gap", "improvement", "recency", "difference", "forget_level",
        "natural_forgetting", "oracle_bias", "excess_path_gap", "path_spread", "stopping_price", "distribution",
    }  # fmt: skip
    assert all(f.reason and f.method for f in findings)
    assert all((f.estimate is None) <= ("undefined" in f.reason) for f in findings)
    assert all(f.low is None or f.low <= f.estimate <= f.high for f in findings)  # type: ignore[operator]


def test_no_place_is_reported_twice(table: pd.DataFrame) -> None:
    places = [
        (f.contrast, f.quantity, f.probe, f.test_set, f.unlearning, f.history, f.other, f.alignment, f.step)
        for f in compare(table, GIVEN)
    ]
    assert len(places) == len(set(places))


def test_the_summary_holds_what_was_declared_and_what_each_unlearning_did(table: pd.DataFrame) -> None:
    findings = compare(table, GIVEN)
    chosen = summarised(findings)
    declared = [f for f in findings if (f.verdict is not None or f.family) and f.alignment != "at_step"]
    assert declared and all(f in chosen for f in declared)
    assert not [f for f in chosen if f.alignment == "at_step" or f.contrast in ("natural_forgetting", "forget_level")]
    ends = {(f.unlearning, f.history) for f in chosen if f.quantity == "history-oracle" and f.probe == "forget_loss"}
    assert ends == {("ga", history.name) for history in GIVEN.all_histories()}
    assert {f.quantity for f in chosen if f.contrast == "recency"} == {
        "tau(oracle)", "total(oracle)", "head_start(oracle)", "speed(oracle)"
    }  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(summary_csv(findings))))
    assert [line["quantity"] for line in lines] == [f.quantity for f in chosen] and len(lines) < len(findings)
    assert summary_csv(reversed(findings)) == summary_csv(findings)


def test_of_many_pairs_the_summary_lists_the_largest() -> None:
    one = next(f for f in compare(frame(distance_rows(GIVEN, vectors(GIVEN, still(1.0), seed=1))), GIVEN)
               if f.quantity == "G_ab" and f.alignment == "at_end")  # fmt: skip
    pairs = [replace(one, other=f"h{i:03}", estimate=float(i % 50)) for i in range(276)]
    chosen = summarised(pairs)
    assert len(chosen) == MOST_OF_A_KIND
    assert min(f.estimate for f in chosen) >= 47.0  # type: ignore[type-var]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@a", "\ta", "\ra", " =1", "\u00a0=1", '"=1', "a\n=1", "'  @x"])
def test_formulas_are_shown_not_computed(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a=1", "forget>a", "x-y", "D_ho(end)-D_ho(0)"])
def test_plain_text_is_left_alone(value: str) -> None:
    assert cell(value) == value


def test_tables_are_those_of_the_documented_layout(table: pd.DataFrame) -> None:
    import retrain_equivalence.equivalence.tables as module

    tables = report_tables(table, GIVEN)
    assert list(tables) == list(TABLES)
    assert module.__doc__ is not None
    for name, rows in tables.items():
        if name in ("growth", "growth_pairs", "excess", "recency_trend"):
            continue  # planted, and their tables tested, in test_equivalence_methods, _excess_path_gap and _recency
        assert rows, name
        assert f"`{name}`" in module.__doc__
        documented = module.__doc__.split(f"`{name}`")[1].split("\n`")[0]
        assert all(set(row) == set(rows[0]) for row in rows)
        assert set(rows[0]) <= set(re.findall(r"\w+", documented)), name
        for row in rows:
            assert not any(isinstance(value, float) and not np.isfinite(value) for value in row.values())


def test_tables_and_findings_give_one_number_for_one_thing(table: pd.DataFrame) -> None:
    findings, tables = compare(table, GIVEN), report_tables(table, GIVEN)
    for row in tables["distances"]:
        if row["step"]:
            place = (row["history"], row["step"])
            match = [
                f for f in findings
                if (f.contrast, f.quantity) == ("oracle_distance", "D_ho") and (f.history, f.step) == place
            ]  # fmt: skip
            assert [(f.estimate, f.low, f.high) for f in match] == [(row["mean"], row["low"], row["high"])]


def test_comparing_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; import retrain_equivalence.equivalence.compare, retrain_equivalence.equivalence.tables;"
        "import retrain_equivalence.equivalence.power;"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
