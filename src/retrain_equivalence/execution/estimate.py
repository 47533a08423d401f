"""What a plan would take: from rates that the store has seen, or from a fresh measurement."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain_equivalence.execution import gpu
from retrain_equivalence.execution.api import Runtime, worker_arguments
from retrain_equivalence.execution.inputs import Inputs, put_datasets
from retrain_equivalence.execution.plan import Plan
from retrain_equivalence.execution.power import power_lines
from retrain_equivalence.execution.state_size import Shapes, saved_bytes
from retrain_equivalence.store.base import Store
from retrain_equivalence.study.study import Study

MEASURED_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCost:
    """The tasks of one kind."""

    kind: str
    tasks: int
    cached: int
    seconds: float | None
    """What is still to do, in seconds of one worker; None if no rate is known."""
    disk: float | None
    """Bytes still to write; None if no size is known."""
    disk_from_shapes: bool = False
    """Whether `disk` counts the weights alone, by their shapes, since the store has no such object yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The cost of what is not done yet."""

    kinds: tuple[KindCost, ...]
    workers: int
    wall: float | None
    """Seconds on all workers; None if unknown."""
    basis: str
    """Where the rates come from."""
    power: tuple[str, ...]
    """What the replicates can detect, in words."""


WEIGHTS = ("base", "given", "stage", "unlearn")
"""Kinds of tasks that keep weights."""


def estimate(
    planned: Plan, store: Store, *, workers: int, rate: float | None = None, shapes: Shapes | None = None
) -> Estimate:
    """Estimate what a plan still takes.

    Args:
        planned: the plan.
        store: its finished tasks give seconds and bytes per unit of weight, kind by kind.
        workers: how many tasks run at once.
        rate: measured training tokens per second; used for training kinds that the store has no rate for.
        shapes: of the base model's tensors; they give the disk of states where the store has none like them.
    """
    kinds = []
    for kind in dict.fromkeys(task.kind for task in planned.tasks):
        tasks = [task for task in planned.tasks if task.kind == kind]
        cached = [task for task in tasks if store.has(task.key)]
        manifests = [store.get(task.key).manifest for task in cached]
        weight = sum(task.weight for task in cached)
        left = sum(task.weight for task in tasks) - weight
        seconds = disk = None
        from_shapes = False
        if left <= 0:
            seconds, disk = 0.0, 0.0
        elif weight > 0:
            seconds = left * sum(float(m.made.get("seconds", 0.0)) for m in manifests) / weight
            disk = left * sum(size for m in manifests for size, _ in m.files.values()) / weight
        elif kind in ("cells", "distance", "gap", "label", "parameter") and (like := list(store.manifests(kind))):
            # They read all states at once, so a study that has grown has none of its own: the store's mean stands in.
            seconds = len(tasks) * sum(float(m.made.get("seconds", 0.0)) for m in like) / len(like)
            disk = len(tasks) * sum(size for m in like for size, _ in m.files.values()) / len(like)
        elif rate is not None and kind in ("stage", "unlearn", "base"):
            seconds = left / rate
        if disk is None and shapes is not None and kind in WEIGHTS:
            # No task of the kind is done here, or there would be a rate.
            specs = [planned.planned[task.key].spec for task in tasks]
            disk, from_shapes = sum(saved_bytes(spec, shapes, planned.study.model) for spec in specs), True
        kinds.append(
            KindCost(
                kind=kind, tasks=len(tasks), cached=len(cached), seconds=seconds, disk=disk,
                disk_from_shapes=from_shapes,
            )
        )  # fmt: skip
    known = [entry.seconds for entry in kinds if entry.seconds is not None]
    complete = len(known) == len(kinds)
    wall = sum(known) / max(workers, 1) if complete or (rate is not None and known) else None
    basis = "rates of this store" if complete else "measured training only; probes not included"
    return Estimate(
        kinds=tuple(kinds),
        workers=workers,
        wall=wall,
        basis=basis if wall is not None else "no rates yet",
        power=power_lines(planned.study),
    )


def measured_rate(study: Study, inputs: Inputs, runtime: Runtime) -> float:
    """Train a few steps of the first stage in a child process and return real tokens per second of one worker."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="retrain-equivalence-") as folder, context.Pool(1) as pool:
        from retrain_equivalence.store.local import LocalStore

        store = LocalStore(Path(folder))
        put_datasets(inputs, store)
        arguments = worker_arguments(study, inputs, store, runtime)
        return float(pool.apply(_rate, (arguments,)))


def _rate(arguments: dict[str, Any]) -> float:
    from retrain_equivalence.core.identity import Key
    from retrain_equivalence.execution.bodies import NLL, truncated_rows
    from retrain_equivalence.execution.open_bodies import open_bodies
    from retrain_equivalence.execution.signals import StopFlag
    from retrain_equivalence.models.base import base_files, open_files
    from retrain_equivalence.objectives.catalogue import build
    from retrain_equivalence.training.loop import train

    gpu.require_gpu(arguments["device"])
    bodies = open_bodies(arguments, StopFlag())
    study, stage = bodies.plan.study, bodies.plan.study.stages[0]
    # An untrained base runs at the speed of a trained one.
    files = base_files(study.model, seed=0, tokenizer_text=None, study_dir=Path(arguments["study_dir"]), offline=True)
    model, codec = open_files(files, study.model)
    model.to(arguments["device"])
    data = bodies.states.datasets[Key(arguments["datasets"][stage.name])]
    rows = truncated_rows(codec, data, stage.training.max_length)
    steps = train(model, rows, recipe=stage.training, objective=build(NLL), order_seed=0, pad_id=codec.pad_id)
    started, tokens = 0.0, 0
    for done in steps:
        if done.step == 1:  # the first step allocates; it is not representative
            started, tokens = time.monotonic(), done.tokens
        if done.step == MEASURED_STEPS or done.step == done.n_steps:
            return (done.tokens - tokens) / max(time.monotonic() - started, 1e-9)
    raise AssertionError("training yields at least one step")
