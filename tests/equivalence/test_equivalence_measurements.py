from __future__ import annotations

import numpy as np
import pandas as pd
import planted
import pytest

from retrain_equivalence.core.codes.equivalence import CODES
from retrain_equivalence.core.codes.records import CODES as RECORD_CODES
from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence.measurements import CENSORED, MISSING, OK, Measurements, StateClass
from retrain_equivalence.records.columns import Columns
from retrain_equivalence.records.state_name import StateName

STATE = StateName(history="a>safety", replicate=1)
HERE = StateClass("a>safety", "", 0)
ORACLE = StateClass("a", "", 0)


def scalar(replicate: int, item: str, value: float | None, status: str = "ok") -> dict[str, object]:
    state = StateName(history="a>safety", replicate=replicate)
    return planted.row(state, "answer_logprob:a", item, value, "nats/token", status=status)


def distance(r: int, s: int, value: float) -> dict[str, object]:
    return planted.row(
        StateName(history="a>safety", replicate=r), planted.PROBE, "forget", value, "Hellinger²", against=f"a#{s}"
    )


def read(rows: list[dict[str, object]]) -> Measurements:
    return Measurements(Columns.of_frame(planted.frame(rows)), replicates=3, oracle_replicates=0)


def test_scalars_are_means_over_items_within_a_run() -> None:
    found = read([scalar(0, "x", 1.0), scalar(0, "y", 3.0), scalar(2, "x", 5.0)]).scalar("answer_logprob:a", HERE)
    assert found.values_N == pytest.approx([2.0, np.nan, 5.0], nan_ok=True)
    assert found.states_N.tolist() == [OK, MISSING, OK]


def test_a_run_with_one_bad_item_has_no_mean() -> None:
    found = read([scalar(0, "x", 1.0), scalar(0, "y", None, "censored")]).scalar("answer_logprob:a", HERE)
    assert np.isnan(found.values_N[0])
    assert found.states_N[0] == CENSORED


def test_equal_seed_distances_are_dropped_at_the_door() -> None:
    found = read([distance(0, 1, 2.0), distance(1, 1, 99.0)]).pairs(planted.PROBE, "forget", HERE, ORACLE)
    assert found.values_NN[0, 1] == 2.0
    assert np.isfinite(found.values_NN).sum() == 1


def test_a_pair_is_found_from_both_sides() -> None:
    table = read([distance(0, 1, 2.0)])
    assert table.pairs(planted.PROBE, "forget", ORACLE, HERE).values_NN[1, 0] == 2.0


def test_order_of_rows_and_of_categories_moves_no_bit() -> None:
    rows = [scalar(r, f"i{k}", 0.1 * k + r / 3) for r in range(3) for k in range(7)]
    one = read(rows)
    turned = planted.frame(rows[::-1])
    turned["item"] = turned["item"].cat.reorder_categories(turned["item"].cat.categories[::-1])
    two = Measurements(Columns.of_frame(turned), replicates=3, oracle_replicates=0)
    assert (
        one.scalar("answer_logprob:a", HERE).values_N.tobytes()
        == two.scalar("answer_logprob:a", HERE).values_N.tobytes()
    )


def test_an_empty_table_has_nothing() -> None:
    table = read([])
    assert table.scalar_probes == []
    assert table.distance_probes == []


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([scalar(0, "x", 1.0), scalar(0, "x", 1.0)], "E-DATA-51"),
        ([scalar(3, "x", 1.0)], "E-DATA-53"),
        ([distance(0, 7, 1.0)], "E-DATA-53"),
        ([scalar(0, "x", None)], "E-DATA-55"),
        ([scalar(0, "x", float("inf"))], "E-DATA-55"),
        ([scalar(0, "x", 1.0, "fine")], "E-DATA-56"),
        ([planted.row(STATE, "p", "i", 1.0, "nats", against="nonsense")], "E-DATA-57"),
        ([planted.row(STATE, "p", "i", 1.0, "nats"), planted.row(STATE, "p", "j", 1.0, "fraction")], "E-DATA-58"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(rows: list[dict[str, object]], code: str) -> None:
    with pytest.raises(InputError) as raised:
        read(rows)
    assert raised.value.problems[0].code == code
    assert code in CODES | RECORD_CODES


def test_missing_columns_and_null_names_are_refused() -> None:
    whole = planted.frame([scalar(0, "x", 1.0)])
    with pytest.raises(InputError, match="E-DATA-52"):
        Columns.of_frame(whole.drop(columns="item"))
    hollow = whole.assign(item=pd.Categorical([None]))
    with pytest.raises(InputError, match="E-DATA-54"):
        Columns.of_frame(hollow)


def test_keys_of_many_names_do_not_overflow() -> None:
    from retrain_equivalence.equivalence.measurements import _keys

    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 1_000_000, size=500) for _ in range(5)]
    keys = _keys([(column.astype(np.int64), 1_000_000) for column in columns])
    assert np.argsort(keys).tolist() == np.lexsort(columns[::-1]).tolist()
