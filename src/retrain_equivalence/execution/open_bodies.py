"""What a worker does once: read the locked study, plan it again, and open the bodies of its tasks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from retrain_equivalence.core.identity import Key
from retrain_equivalence.execution.signals import StopFlag


def open_bodies(arguments: dict[str, Any], stop: StopFlag) -> Any:
    """Return the body of a plan's tasks.

    Args:
        arguments: `study` (locked YAML), `datasets` (name -> key), `model_source`, `given_sources`, `store`,
            `rebuild`, `allow_network`, `study_dir`, `data_dir`, `device`, `threads`, `plugins`: plain values that can
            cross a process border.
        stop: is set when the run is to end; bodies save themselves and raise `Interrupted`.
    """
    from retrain_equivalence.training.determinism import prepare

    prepare(int(arguments["threads"]))

    from retrain_equivalence.data.ingest import Locations
    from retrain_equivalence.execution.api import environment_of
    from retrain_equivalence.execution.bodies import Bodies
    from retrain_equivalence.execution.inputs import Inputs, load_datasets
    from retrain_equivalence.execution.plan import plan_study
    from retrain_equivalence.execution.states import States
    from retrain_equivalence.store.local import LocalStore
    from retrain_equivalence.study.load import load_study

    store = LocalStore(Path(arguments["store"]), rebuild=arguments["rebuild"], allow_network=arguments["allow_network"])
    with tempfile.TemporaryDirectory(prefix="retrain-equivalence-") as folder:
        lock = Path(folder) / "study.lock.yaml"
        lock.write_text(arguments["study"], encoding="utf-8")
        study = load_study(lock, plugins=arguments["plugins"])
    data_dir = Path(arguments["data_dir"]) if arguments["data_dir"] else None
    # Offline: everything was fetched before; tasks never touch the network.
    where = Locations(study_dir=Path(arguments["study_dir"]), data_dir=data_dir, offline=True)
    keys = {name: Key(key) for name, key in arguments["datasets"].items()}
    inputs = Inputs(
        datasets=load_datasets(store, keys, study, where),
        model_source=arguments["model_source"],
        given_sources=tuple(arguments["given_sources"]),
    )
    plan = plan_study(study, inputs, environment_of(study, arguments["device"]))
    return Bodies(
        plan=plan,
        store=store,
        states=States(store=store, plan=plan, model_recipe=study.model, inputs=inputs, device=arguments["device"]),
        stop=stop,
        study_dir=Path(arguments["study_dir"]),
    )
