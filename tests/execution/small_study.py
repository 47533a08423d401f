"""The small study of this folder, run in a few seconds; as a script, a victim of kills and a maker of golden numbers.

python small_study.py kill ROOT SEED KILLS     kill a run that often inside its tasks, then let it finish
python small_study.py golden                   print the golden trajectories of this version
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain_equivalence.core.identity import Digest, Key
from retrain_equivalence.core.seeds import Seeds
from retrain_equivalence.data.example import Dataset
from retrain_equivalence.execution import api
from retrain_equivalence.execution.inputs import Inputs
from retrain_equivalence.execution.keys import NUMERICS
from retrain_equivalence.execution.plan import Plan
from retrain_equivalence.histories.history import Stage
from retrain_equivalence.store.local import LocalStore
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

FOLDER = Path(__file__).parent
FILE = FOLDER / "small.yaml"
GOLDEN = FOLDER / "golden.json"
ANSWERS = ("rows.parquet", "summary.csv", "findings.json", "study.lock.yaml")
"""The files of a results folder that are a function of the study alone; the others carry times and places."""

TRAINED = ("base", "stage", "unlearn")
CHECKPOINT_SECONDS = 0.02

BARE = ("probes=[]", "comparisons=[]", "replicates=1", "oracle_replicates=0")
"""Overrides that leave only trainings and the built-in losses."""

SLOW = (
    *BARE, "histories=[[facts, sums, safety]]", "training.global_batch_size=4", "stages.sums.num_train_epochs=20",
    "unlearnings.npo.max_steps=60", "unlearnings.npo.save_at=[0, 30, 60]", "unlearning_training.global_batch_size=4",
)  # fmt: skip
"""Overrides under which a stage and an unlearning take long enough to be interrupted inside."""

LONG = ("train facts>sums r0", "unlearn facts>sums>safety npo r0")
"""The tasks that are long under `SLOW`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run that is done; never write to it."""

    root: Path
    out: Path
    plan: Plan
    inputs: Inputs

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.root / "store")


def small(*overrides: str) -> Study:
    return load_study(FILE, overrides=overrides)


def planned(*overrides: str) -> Plan:
    return api.plan(small(*overrides), api.Runtime(study_dir=FOLDER))[0]


def run_small(root: Path, *overrides: str, study: Study | None = None, workers: int = 0, name: str = "out") -> Path:
    """Run it on the store `root/store`; return the results folder."""
    found = api.run(
        study or small(*overrides),
        store=LocalStore(root / "store"),
        out=root / name,
        runtime=api.Runtime(workers=workers, study_dir=FOLDER, offline=True),
    )
    assert not found.failed, found.failed
    return root / name


def train_by_hand(model: Any, codec: Any, stage: Stage, dataset: Dataset, seeds: Seeds) -> None:
    """Train one stage in place with the loop alone: no plan, key, store or body."""
    from retrain_equivalence.execution.bodies import NLL
    from retrain_equivalence.objectives.catalogue import build
    from retrain_equivalence.training.loop import train

    rows = [codec.encode(e.prompt, e.response, id=e.id) for e in dataset.train]
    steps = train(
        model, rows, recipe=stage.training, objective=build(NLL), pad_id=codec.pad_id,
        order_seed=seeds.stream("order", dataset.digest),
    )  # fmt: skip
    for _ in steps:
        pass


def answers(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ANSWERS}


def digests(root: Path, kinds: Sequence[str] = ()) -> dict[Key, Digest]:
    """Key -> digest of what came out, for all objects or those of some kinds; checkpoints are not results."""
    found = LocalStore(root / "store").manifests()
    return {m.key: m.digest for m in found if m.kind != "checkpoint" and (not kinds or m.kind in kinds)}


def trajectories(plan: Plan, store: LocalStore) -> dict[str, list[float]]:
    """Label -> loss of every step, for everything trained."""
    return {
        task.label: [step[1] for step in json.loads(store.get(task.key).read("log.json"))["steps"]]
        for task in plan.tasks
        if task.kind in ("stage", "unlearn")
    }


OBJECTIVES: Mapping[str, Mapping[str, Any]] = {
    "nll": {}, "ga": {}, "npo": {"beta": 0.1}, "simnpo": {"beta": 0.5, "gamma": 0.1},
    "simnpo_sequence": {"beta": 0.01},
}  # fmt: skip
GOLDEN_STUDY = (
    *BARE,
    "histories=[[facts, sums, safety]]",
    "unlearnings="
    + json.dumps([{"name": n, "objective": n, "max_steps": 4, **parameters} for n, parameters in OBJECTIVES.items()]),
)


def golden(root: Path) -> dict[str, Any]:
    """The losses of a fixed training and of a fixed unlearning with each objective."""
    run_small(root, *GOLDEN_STUDY)
    losses = trajectories(planned(*GOLDEN_STUDY), LocalStore(root / "store"))
    return {
        "numerics": NUMERICS,
        "losses": {name: [float(f"{loss:.6g}") for loss in found] for name, found in losses.items()},
    }


def kill(root: Path, seed: int, kills: int) -> None:
    """Run the slow study in forked copies of this process, killing each at a random time inside one of its tasks."""
    from retrain_equivalence.execution import bodies

    bodies.CHECKPOINT_SECONDS = CHECKPOINT_SECONDS
    chance = random.Random(seed)
    long = [task.key for task in planned(*SLOW).tasks if task.label in LONG]
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            run_small(root, *SLOW)
            os._exit(0)
        leases = [root / "store" / "leases" / f"{key}.json" for key in long]
        while not any(lease.exists() for lease in leases) and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.5))
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        kept = sum(1 for _ in LocalStore(root / "store").manifests("checkpoint"))
        print(f"killed {killed} checkpoints {kept}", flush=True)
    run_small(root, *SLOW)


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        kill(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(golden(Path(folder)), indent=1))
