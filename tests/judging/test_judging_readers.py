"""Logs and tables are read as they were written; what is wrong with them is one line with place, found and fix."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from judging_runs import log, written

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence.finding import Verdict
from retrain_equivalence.judging.evaluation_log import read_log, read_logs
from retrain_equivalence.judging.judge import judge
from retrain_equivalence.judging.runs import matrix_of, values_of
from retrain_equivalence.judging.runs_table import read_table


def refused(code: str, *parts: str):
    """The error has the code, one line, and says these parts."""

    class Refused:
        def __enter__(self) -> None:
            self.raises = pytest.raises(InputError)
            self.caught = self.raises.__enter__()

        def __exit__(self, *error: object) -> bool:
            handled = self.raises.__exit__(*error)
            (problem,) = self.caught.value.problems
            assert problem.code == code
            assert problem.fix
            for part in parts:
                assert part in problem.line(), problem.line()
            return bool(handled)

    return Refused()


def test_a_log_gives_the_run_its_number_and_its_items(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", log([0.5, 0.25]))
    run = read_log(path, "forget_Q_A_Prob")
    assert run.value == 0.375
    assert run.items == {"0": 0.5, "1": 0.25}
    assert run.name == str(path)
    assert read_log(path, "model_utility").items == {}


def test_a_field_is_chosen_and_its_mean_is_the_runs_number(tmp_path: Path) -> None:
    run = read_log(written(tmp_path / "a.json", log([0.5, 0.25])), "forget_Q_A_Prob:avg_loss")
    assert run.value == pytest.approx((0.6931472 + 1.3862944) / 2, abs=1e-6)


def test_several_answers_are_averaged_and_what_is_null_or_not_a_number_is_undefined(tmp_path: Path) -> None:
    entry = '{"m": {"agg_value": NaN, "value_by_index": {"0": {"prob": [0.2, 0.4]}, "1": {"prob": NaN}, "2": null}}}'
    run = read_log(written(tmp_path / "a.json", entry), "m")
    assert run.value is None
    assert run.items["0"] == pytest.approx(0.3)
    assert run.items["1"] is None
    assert run.items["2"] is None


def test_forget_quality_stands_for_the_truth_ratios_behind_it(tmp_path: Path) -> None:
    ratios = {"agg_value": 0.7, "value_by_index": {"0": {"score": 0.5}, "1": {"score": 1.5}}}
    whole = log([0.5], forget_truth_ratio=ratios, forget_quality={"agg_value": 0.03})
    run = read_log(written(tmp_path / "a.json", whole), "forget_quality")
    assert run.value is None
    assert run.items == run.truth_ratios == {"0": 0.5, "1": 1.5}
    assert run.logged_forget_quality == 0.03
    with refused("E-DATA-143", "forget_truth_ratio"):
        read_log(written(tmp_path / "b.json", log([0.5])), "forget_quality")


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        ('{"m": ', "E-DATA-141", ":1:7"),
        ('{"m": {"agg_value": 1}, "m": {"agg_value": 2}}', "E-DATA-141", "'m' appears twice"),
        ("[" * 100_000, "E-DATA-141", "not"),
        ("[1, 2]", "E-DATA-142", "no object"),
        ("{}", "E-DATA-142", "no object"),
        ('{"m": 0.5, "model_utility": 0.1}', "E-DATA-142", "summary"),
        ('{"m": {"value": 0.5}}', "E-DATA-142", "agg_value"),
        ('{"m": {"agg_value": 1, "value_by_index": [1]}}', "E-DATA-142", "value_by_index"),
        ('{"other_metric": {"agg_value": 1}}', "E-DATA-143", "other_metric"),
        ('{"m": {"agg_value": "0.5"}}', "E-DATA-144", "m.agg_value"),
        ('{"m": {"agg_value": true}}', "E-DATA-144", "bool"),
        ('{"m": {"agg_value": 1, "value_by_index": {"7": 0.5}}}', "E-DATA-144", "value_by_index.7"),
        ('{"m": {"agg_value": 1, "value_by_index": {"7": {"text": "x"}}}}', "E-DATA-144", "has: text"),
    ],
)
def test_a_bad_log_is_refused(tmp_path: Path, content: str, code: str, says: str) -> None:
    with refused(code, "bad.json", says):
        read_log(written(tmp_path / "bad.json", content), "m")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with refused("E-DATA-140", "No such file"):
        read_log(tmp_path / "none.json", "m")
    (tmp_path / "empty").mkdir()
    with refused("E-DATA-140", "_EVAL.json"):
        read_logs([tmp_path / "empty"], [], [], "m")
    (tmp_path / "latin.json").write_bytes(b'{"m\xe9": 1}')
    with refused("E-DATA-141", "byte 3"):
        read_log(tmp_path / "latin.json", "m")


def test_the_nearest_metric_is_named(tmp_path: Path) -> None:
    with refused("E-DATA-143", "--metric forget_Q_A_Prob"):
        read_log(written(tmp_path / "a.json", log([0.5])), "forget_QA_Prob")


def test_a_folder_stands_for_its_logs_and_the_same_bytes_twice_are_one_run(tmp_path: Path) -> None:
    for i in range(3):
        written(tmp_path / "u" / f"{i}" / "TOFU_EVAL.json", log([0.5 + i / 10]))
        written(tmp_path / "u" / f"{i}" / "TOFU_SUMMARY.json", {"forget_Q_A_Prob": 1})
    other = written(tmp_path / "r.json", log([0.2]))
    runs = read_logs([tmp_path / "u"], [other], [], "forget_Q_A_Prob")
    assert values_of(runs.unlearned).tolist() == [0.5, 0.6, 0.7]
    with refused("E-DATA-147", "same log"):
        read_logs([tmp_path / "u", tmp_path / "u" / "1" / "TOFU_EVAL.json"], [other], [], "forget_Q_A_Prob")
    with refused("E-DATA-147", "same log"):
        read_logs([tmp_path / "u"], [tmp_path / "u"], [], "forget_Q_A_Prob")


def test_runs_on_other_items_are_refused() -> None:
    with refused("E-DATA-145", "b", "not in both: 1"):
        matrix_of([{"0": 1.0, "1": 2.0}, {"0": 1.0}], ["a", "b"])


def test_items_that_one_run_leaves_undefined_are_counted_and_left_out() -> None:
    values_RI, left_out = matrix_of([{"10": 1.0, "9": 2.0, "x": None}, {"9": 4.0, "10": 3.0, "x": 1.0}], ["a", "b"])
    assert values_RI.tolist() == [[2.0, 1.0], [4.0, 3.0]]
    assert left_out == 1


TABLE = """group,run,metric,item,value,note
unlearned,u1,m,,0.5,x
unlearned,u1,m,a,0.4,
unlearned,u1,m,b,0.8,
retrained,r1,m,a,0.1,
retrained,r1,m,b,0.3,
before,b1,m,,,collapsed
retrained,r1,other,,1,
"""


def test_a_table_is_read_and_parquet_is_the_same(tmp_path: Path) -> None:
    runs = read_table(written(tmp_path / "t.csv", TABLE), "m")
    assert runs.unlearned[0].value == 0.5
    assert runs.retrained[0].value == pytest.approx(0.2)
    assert runs.before[0].value is None
    assert runs.unlearned[0].items == {"a": 0.4, "b": 0.8}
    frame = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, dtype={"item": "object"})
    frame["value"] = pd.to_numeric(frame["value"])
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", "m") == runs


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (("group,run", "arm,run"), "E-DATA-146", "has no column group"),
        (("unlearned,u1,m,,0.5", "forgot,u1,m,,0.5"), "E-DATA-146", "t.csv:2: group is 'forgot'"),
        (("unlearned,u1,m,,0.5", "unlearned,,m,,0.5"), "E-DATA-146", "run is empty"),
        (("r1,m,a,0.1", "r1,m,a,lots"), "E-DATA-144", "t.csv:5: value is 'lots'"),
        (("u1,m,b,0.8", "u1,m,a,0.8"), "E-DATA-147", "item 'a' of unlearned 'u1' is there twice"),
        (("before,b1,m,,,collapsed", "before,b1,m"), "E-DATA-146", "t.csv:7"),
        (("retrained,r1,m", "before,r1,m"), "E-DATA-146", "no retrained run"),
        ((",m,", ",n,"), "E-DATA-143", "has: n, other"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, change: tuple[str, str], code: str, says: str) -> None:
    with refused(code, says):
        read_table(written(tmp_path / "t.csv", TABLE.replace(*change)), "m")


def test_a_table_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with refused("E-DATA-140", ".csv"):
        read_table(written(tmp_path / "t.xlsx", "x"), "m")
    with refused("E-DATA-140", "Parquet"):
        read_table(written(tmp_path / "t.parquet", "x"), "m")
    with refused("E-DATA-140", "No such file"):
        read_table(tmp_path / "none.csv", "m")


def test_a_run_with_an_undefined_item_has_no_value(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    lines = ["group,run,metric,item,value"]
    for group in ("unlearned", "retrained"):
        for run in range(3):
            lines += [f"{group},{run},loss,{k},{'' if (group, run, k) == ('unlearned', 1, 2) else k}" for k in range(4)]
    path.write_text("\n".join(lines) + "\n")
    found = read_table(path, "loss")
    assert [run.value for run in found.unlearned] == [1.5, None, 1.5]
    judged = judge(found, margin=9.0, rationale="any")
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.p_equivalence is None
