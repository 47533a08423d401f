"""The Python interface behind the verbs: plan, run, compare."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retrain_equivalence.core.errors import InputError, Problem
from retrain_equivalence.core.identity import plain
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.execution import gpu
from retrain_equivalence.execution import results_folder as folder
from retrain_equivalence.execution.inputs import Inputs, put_datasets, read_inputs
from retrain_equivalence.execution.keys import Environment
from retrain_equivalence.execution.look import at_look
from retrain_equivalence.execution.plan import Plan, plan_study
from retrain_equivalence.execution.row_lengths import check_rows
from retrain_equivalence.execution.runner import Event, Outcome, execute
from retrain_equivalence.execution.signals import Interrupted, StopFlag
from retrain_equivalence.recipes.model import GgufModel, HubModel
from retrain_equivalence.store.base import Store
from retrain_equivalence.study.dump import dump_study
from retrain_equivalence.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from retrain_equivalence.equivalence.finding import Finding
    from retrain_equivalence.store.local import LocalStore

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How a run is done: nothing here enters a key, and a test proves that nothing here moves a bit."""

    workers: int | None = None
    """Worker processes; None takes one per core, 0 works in this process."""
    data_dir: Path | None = None
    """Where data sets are looked for; None takes RETRAIN_EQUIVALENCE_DATA."""
    study_dir: Path = field(default_factory=Path.cwd)
    """What relative paths of the study are relative to."""
    offline: bool = False
    """Never ask the hub."""
    device: Device = "cpu"
    """`cpu` or `cuda`; the *kind* of device is identity and enters the keys."""
    plugins: tuple[Path, ...] = ()
    """Python files that register objectives."""

    @property
    def locations(self) -> Locations:
        """Where inputs are looked for."""
        return Locations.of(self.study_dir, data_dir=self.data_dir, offline=self.offline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A results folder: the table, the findings, and where they lie."""

    directory: Path
    frame: pd.DataFrame
    findings: tuple[Finding, ...]
    failed: tuple[Problem, ...] = ()
    """What could not be done; everything else is committed."""
    exit_code: int = 0
    """0, or the code of the gravest family among `failed`."""


def environment_of(study: Study, device: Device) -> Environment:
    """Return the numeric environment that a study would run in here."""
    from retrain_equivalence.training.determinism import numeric_environment

    return Environment(settings=numeric_environment(threads=study.threads, device=device, dtype=study.model.dtype))


def plan(study: Study, runtime: Runtime | None = None) -> tuple[Plan, Inputs]:
    """Read a study's inputs and plan it; nothing is trained or written.

    Raises:
        MachineError: E-ENV-06 if a GPU is asked for where there is none.
    """
    given = runtime or Runtime()
    gpu.require_driver(given.device)
    inputs = read_inputs(study, given.locations)
    planned = plan_study(study, inputs, environment_of(study, given.device))
    check_rows(planned, inputs, given.study_dir)
    return planned, inputs


def fetched(study: Study, runtime: Runtime) -> Study:
    """Fetch a hub model before anything else and return the study with its revision locked; others are unchanged."""
    if not isinstance(study.model, HubModel):
        return study
    from retrain_equivalence.models.hub import snapshot

    _, revision = snapshot(study.model.hub, study.model.revision, offline=runtime.offline)
    return replace(study, model=replace(study.model, revision=revision))


def run(
    study: Study,
    *,
    store: LocalStore,
    out: Path,
    runtime: Runtime | None = None,
    stop: StopFlag | None = None,
    progress: Callable[[Event], None] = lambda event: None,
    planned: Callable[[Plan], None] = lambda plan: None,
    look: int | None = None,
) -> Results:
    """Run a study, or go on with it: whatever the store holds is reused.

    Args:
        study: what to do.
        store: where states and measurements are kept.
        out: the results folder; its files are replaced when everything is done.
        runtime: how to do it.
        stop: set by a signal handler; tasks save themselves and the run raises `Interrupted`.
        progress: told of every task.
        planned: told of the plan before its first task.
        look: one of the study's looks: only that many replicates are run. The folder keeps the whole study as its lock,
            so that a table which is not complete is judged as what it is.

    Returns:
        The results, written to `out` too.

    Raises:
        Interrupted: if `stop` was set before everything was done.
        StudyError: E-CFG-39 if the study declares no such look.
        InputError: if rows are refused by the tokenizer, before anything is trained.
        MachineError: E-ENV-06 if a GPU is asked for that torch cannot use.
    """
    given, flag = runtime or Runtime(), stop or StopFlag()
    gpu.require_gpu(given.device)
    started = time.time()
    registered = fetched(study, given)
    study = registered if look is None else at_look(registered, look)
    made, inputs = plan(study, given)
    put_datasets(inputs, store)
    planned(made)
    reused = sum(store.has(task.key) for task in made.tasks)
    with executor_for(study, inputs, store, given, flag) as executor:
        outcome = execute(made.tasks, store=store, executor=executor, progress=progress, stop=flag)
    if outcome.stopped is not None:
        raise Interrupted
    refused = dict.fromkeys(problem for _, problem in outcome.failed)
    trained = any(task.kind == "stage" for task in (*outcome.done, *outcome.reused))
    if refused and not trained and all(problem.code.startswith(InputError.prefix) for problem in refused):
        raise InputError(*refused)  # data that only a tokenizer could refuse: nothing was trained, so nothing is shown
    return write_results(made, inputs, store, out, given, outcome, registered, started=started, reused=reused)


def worker_count(study: Study, runtime: Runtime) -> int:
    """Return how many worker processes a run uses: as asked, else one per `threads` cores."""
    return max(1, (os.cpu_count() or 1) // study.threads) if runtime.workers is None else runtime.workers


def worker_arguments(study: Study, inputs: Inputs, store: LocalStore, runtime: Runtime) -> dict[str, Any]:
    """Return what a worker opens its bodies from: plain values that cross a process border."""
    return {
        "study": dump_study(study),
        "datasets": inputs.dataset_keys(),
        "model_source": inputs.model_source,
        "given_sources": list(inputs.given_sources),
        "store": str(store.root),
        "rebuild": store.rebuild,
        "allow_network": store.allow_network,
        "study_dir": str(runtime.study_dir),
        "data_dir": str(runtime.locations.data_dir or ""),
        "device": runtime.device,
        "threads": study.threads,
        "plugins": [str(path) for path in runtime.plugins],
    }


def executor_for(study: Study, inputs: Inputs, store: LocalStore, runtime: Runtime, stop: StopFlag) -> Any:
    """Return the executor that the runtime asks for; workers open their bodies once, from the locked study."""
    from retrain_equivalence.execution.executors.process import ProcessExecutor
    from retrain_equivalence.execution.executors.serial import SerialExecutor

    arguments = worker_arguments(study, inputs, store, runtime)
    workers = worker_count(study, runtime)
    factory = "retrain_equivalence.execution.open_bodies:open_bodies"
    if workers == 0:
        return SerialExecutor(factory, arguments, stop=stop)
    return ProcessExecutor(factory, arguments, workers=workers, stop=stop)


def write_results(
    planned: Plan,
    inputs: Inputs,
    store: LocalStore,
    out: Path,
    runtime: Runtime,
    outcome: Outcome,
    registered: Study,
    *,
    started: float,
    reused: int,
) -> Results:
    """Assemble the table, compare it as the registered study asks, and replace the files of the results folder."""
    from retrain_equivalence.execution.assemble import assemble
    from retrain_equivalence.records.table import to_parquet

    frame = assemble(planned, store)
    folder.replace_file(out / folder.LOCK, dump_study(registered).encode())
    folder.replace_file(out / folder.ROWS, to_parquet(frame))
    look = planned.study.replicates if planned.study.replicates < registered.replicates else None
    provenance = provenance_of(planned, inputs, store, runtime, outcome, started=started, reused=reused, look=look)
    folder.replace_file(out / folder.PROVENANCE, folder.json_bytes(provenance))
    findings = compare_folder(out, registered, frame)
    failed = tuple(problem for _, problem in outcome.failed)
    return Results(directory=out, frame=frame, findings=findings, failed=failed, exit_code=outcome.exit_code)


def compare_folder(out: Path, study: Study | None = None, frame: pd.DataFrame | None = None) -> tuple[Finding, ...]:
    """Compare what a results folder holds, from its table and its locked study alone, and write the findings.

    Args:
        out: a folder with `rows.parquet` and `study.lock.yaml`.
        study: the locked study, if it is already at hand.
        frame: the table, if it is already at hand.

    Raises:
        InputError: E-DATA-80 if that is no results folder.
    """
    from retrain_equivalence.equivalence.compare import compare
    from retrain_equivalence.equivalence.finding import to_json
    from retrain_equivalence.equivalence.summary import summary_csv
    from retrain_equivalence.study.load import load_study

    locked = study or load_study(folder.existing(out) / folder.LOCK)
    rows = folder.read_columns(out) if frame is None else frame
    findings = compare(rows, locked)
    folder.replace_file(out / folder.FINDINGS, to_json(findings))
    folder.replace_file(out / folder.SUMMARY, summary_csv(findings).encode())
    return tuple(findings)


def provenance_of(
    planned: Plan,
    inputs: Inputs,
    store: Store,
    runtime: Runtime,
    outcome: Outcome,
    *,
    started: float,
    reused: int,
    look: int | None,
) -> dict[str, object]:
    """Return what the numbers came from: versions, data, cost. Times and hosts are labels, never identity."""
    cost: dict[str, dict[str, float]] = {}
    for item in planned.planned.values():
        if store.has(item.task.key):
            made = store.get(item.task.key).manifest.made
            entry = cost.setdefault(item.task.kind, {"tasks": 0, "seconds": 0.0, "tokens": 0, "steps": 0})
            entry["tasks"] += 1
            for name in ("seconds", "tokens", "steps"):
                entry[name] = round(entry[name] + float(made.get(name, 0)), 3)
    notes = []
    if isinstance(planned.study.model, GgufModel):
        notes.append("The base model was dequantised from a 4-bit GGUF file; it is a copy, not the original weights.")
    return {
        "study": planned.study.name,
        "acknowledge": planned.study.acknowledge,
        "notes": planned.study.notes,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 1),
        "package": version("retrain-equivalence"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count() or 1,
        "environment": plain(environment_of(planned.study, runtime.device)),
        "command": f"retrain-equivalence run {planned.study.name}" + (f" --look {look}" if look else ""),
        "datasets": {
            name: {
                **plain(dataset.provenance),
                "digest": dataset.digest,
                "train": len(dataset.train),
                "held_out": len(dataset.held_out),
                "sensitive": dataset.sensitive,
            }
            for name, dataset in inputs.datasets.items()
        },
        "model": {
            "recipe": plain(planned.study.model),
            "source": inputs.model_source,
            "given": list(inputs.given_sources),
            "notes": notes,
        },
        "cost": cost,
        "sharing": {"shared": planned.saving.shared, "naive": planned.saving.naive},
        "tasks": {
            "planned": len(planned.planned),
            "reused": reused,
            "failed": [problem.line() for _, problem in outcome.failed],
            "waiting": len(outcome.waiting),
        },
    }
