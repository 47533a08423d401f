"""Where an excess path gap is asked for, states are held against the oracles of the other orders too."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import small_study

from retrain_equivalence.execution.specs import DistanceSpec

EXCESS = "comparisons=[{contrast: excess_path_gap, probe: prediction}]"
TWO_ORDERS = (
    "histories=[[facts, sums, safety], [sums, facts, safety]]",
    "unlearnings=[{name: ga, objective: ga, max_steps: 4, save_at: [0, 2, 4]}]",
)


def asked(*overrides: str) -> list[DistanceSpec]:
    return [p.spec for p in small_study.planned(*overrides).planned.values() if isinstance(p.spec, DistanceSpec)]


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [((EXCESS, *TWO_ORDERS), True), ((EXCESS,), False), (("comparisons=[]", *TWO_ORDERS), False)],
    ids=["two oracles", "one oracle", "not asked"],
)
def test_only_where_it_is_asked_for_and_there_are_several(overrides: tuple[str, ...], wanted: bool) -> None:
    specs = asked(*overrides)
    assert specs and {spec.every_oracle for spec in specs} == {wanted}


@pytest.mark.parametrize(
    ("comparison", "wanted"),
    [
        ("{contrast: path_gap, probe: prediction, alignment: at_forget_level}", True),
        ("{contrast: oracle_bias, probe: prediction, alignment: at_forget_level}", True),
        ("{contrast: oracle_distance, probe: prediction, alignment: at_forget_level}", False),
        ("{contrast: path_gap, probe: prediction}", False),
    ],
)
def test_pairs_of_different_steps_only_where_a_contrast_reads_them(comparison: str, wanted: bool) -> None:
    specs = asked(f"comparisons=[{comparison}]")
    assert {spec.cross_steps for spec in specs if spec.unlearning} == {wanted}


def test_every_state_against_every_oracle_of_both_orders(tmp_path: Path) -> None:
    out = small_study.run_small(tmp_path, EXCESS, *TWO_ORDERS)
    table = pd.read_parquet(out / "rows.parquet").astype(
        dict.fromkeys(("history", "unlearning", "probe", "item", "against", "status"), str)
    )
    rows = table[table.probe.str.startswith("prediction:")]
    own = {"facts>sums>safety": "facts>sums", "sums>facts>safety": "sums>facts"}
    to_oracle = rows[rows.history.isin(own) & ~rows.against.str.contains("safety")]
    other = to_oracle.history.map(own) != to_oracle.against.str.partition("#")[0]
    for measure in ("hellinger", "squared_l2"):
        one = to_oracle[to_oracle.probe.str.endswith(measure) & (to_oracle.item == "forget")]
        # 2 histories x 2 replicates x (trained, and 2 steps) x 2 orders of oracles x 3 oracle replicates
        assert len(one) == 2 * 2 * 3 * 2 * 3
        assert one.groupby(["history", "replicate", "unlearning", "step"]).size().eq(6).all()
    assert set(to_oracle[other].probe.str.partition("/")[2]) == {"hellinger", "squared_l2"}, "no other distance"
    alone = small_study.run_small(tmp_path, "comparisons=[]", *TWO_ORDERS, name="alone")
    before = pd.read_parquet(alone / "rows.parquet").astype(
        dict.fromkeys(("history", "unlearning", "probe", "item", "against", "status"), str)
    )
    on = ["history", "replicate", "unlearning", "step", "probe", "item", "against"]
    both = table.merge(before, on=on, suffixes=("", "_before"))
    assert len(both) == len(before) == len(table) - other.sum(), "what is asked for is added, and nothing else"
    assert both.value.to_numpy() == pytest.approx(both.value_before.to_numpy(), abs=1e-13, nan_ok=True)
