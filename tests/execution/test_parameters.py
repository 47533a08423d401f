"""Distances between weights: only where they are named, which pairs, and values from the stored tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_study
from numpy.typing import NDArray

from retrain_equivalence.core.identity import Key
from retrain_equivalence.execution import api
from retrain_equivalence.execution.parameters import oracle_pairs, parameter_values
from retrain_equivalence.execution.plan import Plan
from retrain_equivalence.execution.specs import ParameterSpec, Snapshot
from retrain_equivalence.execution.states import States
from retrain_equivalence.metrics.parameter.modules import modules_of
from retrain_equivalence.models.weights import from_safetensors
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import from_parquet
from retrain_equivalence.store.local import LocalStore

FIRST, LAST, ORACLE = "facts>sums>safety", "safety>facts>sums", "facts>sums"
BOTH = (
    "comparisons=[{contrast: oracle_distance, probe: parameters/relative_l2, margin: {times_band: 1.5, rationale: x}}, "
    "{contrast: improvement, probe: parameters/cosine}]"
)
QUICK = (BOTH, "probes=[]", "unlearnings=[{name: ga, objective: ga, max_steps: 4, save_at: [0, 2, 4]}]")
SHARED = "model={tiny: nano, base_per: study}"
CARRIED = "model={tiny: nano, base_per: study, tuning: {lora: {rank: 4, alpha: 8, across_stages: carried}}}"


def table_of(out: Path) -> pd.DataFrame:
    texts = ("history", "unlearning", "probe", "item", "against", "unit", "status")
    frame = pd.read_parquet(out / "rows.parquet").astype(dict.fromkeys(texts, str))
    return frame[frame.probe.str.startswith("parameters/")]


class Run:
    """The small study with both distances named, run once, with one base for all replicates."""

    def __init__(self, root: Path, *overrides: str) -> None:
        self.out = small_study.run_small(root, *QUICK, *overrides)
        self.store = LocalStore(root / "store")
        runtime = api.Runtime(study_dir=small_study.FOLDER)
        self.plan: Plan
        self.plan, self.inputs = api.plan(small_study.small(*QUICK, *overrides), runtime)
        self.table = table_of(self.out)

    def key(self, label: str) -> Key:
        return next(task.key for task in self.plan.tasks if task.label == label)

    def tensors(self, label: str, name: str = "model.safetensors") -> dict[str, NDArray[np.float64]]:
        found = from_safetensors(Path(self.store.get(self.key(label)).path(name)))
        return {name: tensor.double().numpy() for name, tensor in found.items()}

    def value(self, probe: str, item: str, history: str, replicate: int, step: int, against: str) -> float:
        t = self.table
        hit = (t.probe == f"parameters/{probe}") & (t.item == item) & (t.history == history) & (t.against == against)
        (value,) = t[hit & (t.replicate == replicate) & (t.step == step)].value
        return float(value)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("shared"), SHARED)


@pytest.mark.parametrize(
    ("comparisons", "measures"),
    [
        (BOTH, ("relative_l2", "cosine")),
        ("comparisons=[{contrast: improvement, probe: parameters/cosine}]", ("cosine",)),
        ("comparisons=[]", None),
    ],
)
def test_only_where_a_comparison_names_them(comparisons: str, measures: tuple[str, ...] | None) -> None:
    plan = small_study.planned(comparisons)
    specs = [p.spec for p in plan.planned.values() if isinstance(p.spec, ParameterSpec)]
    assert {spec.measures for spec in specs} == ({measures} if measures else set())
    assert len(specs) == (3 if measures else 0), "one of the trained states, one of each unlearning"


def test_pairs_are_the_own_oracle_and_oracles_of_other_replicates() -> None:
    def state(history: str, replicate: int, unlearning: str = "", step: int = 0) -> Snapshot:
        name = StateName(history=history, replicate=replicate, unlearning=unlearning, step=step)
        return Snapshot(name=name, task=Key("0" * 64), step=step, state=Key("1" * 64))

    def words(spec: ParameterSpec) -> set[str]:
        names = [str(s.name) for s in (*spec.states, *spec.oracles)]
        return {f"{names[i]} {names[j]}" for i, j in oracle_pairs(spec)}

    spec = ParameterSpec(
        measures=("cosine",), states=(state("a>f", 0), state("f>b", 0)), bases=(), unlearning="",
        oracles=tuple(state(h, r) for h in ("a", "b") for r in (0, 1)), oracle_of=(("a>f", "a"), ("f>b", "b")),
    )  # fmt: skip
    own = {"a>f#0 a#0", "a>f#0 a#1", "f>b#0 b#0", "f>b#0 b#1"}
    assert words(spec) == own | {"a#0 a#1", "a#0 b#1", "a#1 b#0", "b#0 b#1"}
    later = replace(spec, states=(state("a>f", 0, "ga", 4),), unlearning="ga")
    assert words(later) == {"a>f#0@ga:4 a#0", "a>f#0@ga:4 a#1"}


def test_which_states_and_modules_have_rows(shared: Run) -> None:
    table, modules = shared.table, set(modules_of(shared.tensors("base model")))
    assert modules > {"all", "embed", "layers.0.attention", "layers.0.mlp", "norms"}
    assert set(table.probe) == {"parameters/relative_l2", "parameters/cosine"}, "no adapter, no raw adapter"
    for _, rows in table.groupby("probe"):
        # Ends and last steps of 2 histories and 2 replicates against 3 oracles, and 3 pairs of oracles.
        assert len(rows) == (2 * 2 * 2 * 3 + 3) * len(modules)
        assert set(rows.item) == modules
    assert set(table.step) == {0, 4} and set(table.status) == {"ok"}
    assert set(table.against.str.partition("#")[0]) == {ORACLE}
    assert dict(zip(table.probe, table.unit, strict=True)) == {
        "parameters/relative_l2": "ratio", "parameters/cosine": "",
    }  # fmt: skip


def test_values_by_hand(shared: Run) -> None:
    """From the stored files, all tensors joined, in float64."""
    base, oracle = shared.tensors("base model"), shared.tensors(f"train {ORACLE} r2")
    unlearned = shared.tensors(f"unlearn {LAST} ga r1", "step-000004.model.safetensors")
    for module, names in modules_of(base).items():
        one, two, start = (np.concatenate([side[n].ravel() for n in names]) for side in (unlearned, oracle, base))
        at = (module, LAST, 1, 4, f"{ORACLE}#2")
        expected = np.linalg.norm(one - two) / np.linalg.norm(two)
        assert shared.value("relative_l2", *at) == pytest.approx(expected, rel=1e-6), module
        left, right = one - start, two - start
        expected = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
        assert shared.value("cosine", *at) == pytest.approx(expected, rel=1e-4, abs=1e-6), module


def test_a_step_that_was_not_reached_and_weights_that_are_no_numbers_are_censored(shared: Run) -> None:
    import torch

    states = States(store=shared.store, plan=shared.plan, model_recipe=shared.plan.study.model, inputs=shared.inputs)
    spec = next(p.spec for p in shared.plan.planned.values() if isinstance(p.spec, ParameterSpec) and p.spec.unlearning)
    lost = replace(spec, states=(replace(spec.states[0], step=99), *spec.states[1:]))
    frame = from_parquet(parameter_values(shared.store, states, lost)).astype({"status": str, "history": str})
    hit = (frame.history == spec.states[0].name.history) & (frame.replicate == spec.states[0].name.replicate)
    assert set(frame[hit].status) == {"censored"} and frame[hit].value.isna().all()
    assert set(frame[~hit].status) == {"ok"} and hit.sum() * 3 == (~hit).sum()
    states._merged[spec.states[0].state, 4] = {
        name: torch.full_like(tensor, torch.nan) if "norm" in name else tensor.clone()
        for name, tensor in states.merged(spec.states[0].state, spec.bases[0][1], 4)[0].named_parameters()
    }
    again = from_parquet(parameter_values(shared.store, states, spec)).astype({"status": str})
    assert set(again[hit.to_numpy()].status) == {"censored"} and set(again[~hit.to_numpy()].status) == {"ok"}


def test_without_a_common_base_there_is_no_cosine(tmp_path: Path) -> None:
    """Replicates that start from their own draw have no common origin; the relative distance remains."""
    table = Run(tmp_path, "replicates=1", "oracle_replicates=1", "histories=[[facts, sums, safety]]").table
    apart = table.replicate.astype(str) != table.against.str.extract(r"#(\d+)")[0]
    cosine = table.probe == "parameters/cosine"
    assert set(table[cosine & apart].status) == {"unscored"} and table[cosine & apart].value.isna().all()
    assert set(table[cosine & ~apart].status) == {"ok"} and set(table[~cosine].status) == {"ok"}


def test_raw_adapters_are_compared_between_trained_states_that_carry_one(tmp_path: Path) -> None:
    run = Run(tmp_path, CARRIED)
    raw = run.table[run.table.probe == "parameters/relative_l2_lora"]
    assert set(raw.step) == {0} and set(raw.unlearning) == {""}, "what unlearning adds is another adapter"
    one, two = (
        run.tensors(f"train {FIRST} r0", "adapter.safetensors"),
        run.tensors(f"train {ORACLE} r1", "adapter.safetensors"),
    )
    assert set(raw.item) == set(modules_of(one)) and len(raw) == (2 * 2 * 3 + 3) * len(modules_of(one))
    for module, names in modules_of(one).items():
        left, right = (np.concatenate([side[n].ravel() for n in names]) for side in (one, two))
        expected = np.linalg.norm(left - right) / np.linalg.norm(right)
        found = run.value("relative_l2_lora", module, FIRST, 0, 0, f"{ORACLE}#1")
        assert found == pytest.approx(expected, rel=1e-6)
    merged = run.table[(run.table.probe == "parameters/relative_l2") & (run.table.step == 4)]
    assert set(merged.status) == {"ok"} and (merged[merged["item"] == "all"].value > 0).all()
    still = run.table[(run.table.probe == "parameters/cosine") & (run.table["item"] == "norms")]
    assert set(still.status) == {"unscored"}, "an adapter leaves the norms where they were"
