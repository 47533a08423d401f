"""From committed tasks to the one results table: values get their names here, and nowhere before."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from retrain_equivalence.core.units import Unit
from retrain_equivalence.execution.plan import Measurement, Plan
from retrain_equivalence.execution.specs import DistanceSpec, GapSpec, LabelSpec, ParameterSpec, UnlearnSpec
from retrain_equivalence.execution.values import read_values
from retrain_equivalence.records.table import COLUMNS, Status, combine, from_parquet
from retrain_equivalence.store.base import Store

if TYPE_CHECKING:
    import pandas as pd


def assemble(plan: Plan, store: Store) -> pd.DataFrame:
    """Return the table of everything measured that the store holds; what is missing is simply not there yet."""
    probes, others = [], []
    stages = [stage.name for stage in plan.study.stages]
    for measurement in plan.measurements:
        if not store.has(measurement.task):
            continue
        spec = plan.planned[measurement.task].spec
        if isinstance(spec, UnlearnSpec):
            others.append(_trajectory(measurement, store))
        elif isinstance(spec, DistanceSpec | GapSpec | LabelSpec | ParameterSpec):
            others.append(from_parquet(store.get(measurement.task).read("rows.parquet")))
        else:
            probes.append(_values(measurement, store, stages))
    return combine([*_with_censored_measures(probes), *others])


def _named(frame: pd.DataFrame, measurement: Measurement) -> pd.DataFrame:
    state = measurement.state
    return frame.assign(
        step=state.step or frame["step"],
        history=state.history,
        replicate=state.replicate,
        unlearning=state.unlearning,
        against="",
        checkpoint=measurement.checkpoint[:16],
        task=measurement.task[:16],
    )


def _values(measurement: Measurement, store: Store, stages: list[str]) -> pd.DataFrame:
    frame = read_values(store.get(measurement.task).read("values.parquet"))
    if measurement.probe == "stage_loss":
        suffix = ":" + frame["measure"].map({str(number): name for number, name in enumerate(stages)})
    else:
        suffix = frame["measure"].where(frame["measure"] == "", "/" + frame["measure"])
    return _named(frame.assign(probe=measurement.probe + suffix, kind=measurement.probe), measurement)


def _with_censored_measures(frames: list[pd.DataFrame]) -> Iterable[pd.DataFrame]:
    """Give a censored step one row per measure of its probe: a task that measured nothing does not know their names."""
    import pandas as pd

    if not frames:
        return []
    whole = pd.concat(frames, ignore_index=True)
    censored = (whole["status"] == Status.CENSORED) & (whole["measure"] == "")
    measures = whole.loc[~censored, ["kind", "probe", "unit"]].drop_duplicates()
    expanded = whole.loc[censored].drop(columns=["probe", "unit"]).merge(measures, on="kind", how="inner")
    return [whole.loc[~censored, list(COLUMNS)], expanded.loc[:, list(COLUMNS)]]


def _trajectory(measurement: Measurement, store: Store) -> pd.DataFrame:
    import pandas as pd

    artifact = store.get(measurement.task)
    about = json.loads(artifact.read("about.json"))
    trajectory = json.loads(artifact.read("trajectory.json"))
    items = trajectory["items"]
    rows = [
        (step, item, value, Status.OK.value)
        for step, losses in enumerate(trajectory["losses"], start=1)
        for item, value in zip(items, losses, strict=True)
    ]
    rows += [
        (step, item, None, Status.CENSORED.value)
        for step in range(about["finite_steps"] + 1, about["steps"] + 1)
        for item in items
    ]
    frame = pd.DataFrame(rows, columns=["step", "item", "value", "status"])
    named = _named(frame.assign(probe="forget_loss", unit=Unit.NATS_PER_TOKEN.value), measurement)
    return named.loc[:, list(COLUMNS)]
