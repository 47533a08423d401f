"""Export a state of the store as a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from retrain_equivalence.core.errors import InputError, StudyError
from retrain_equivalence.core.identity import Key
from retrain_equivalence.execution.inputs import Inputs
from retrain_equivalence.execution.plan import Plan, Planned
from retrain_equivalence.execution.specs import BaseSpec, GivenSpec, StageSpec, UnlearnSpec
from retrain_equivalence.execution.states import ADAPTER, FULL, States, step_file
from retrain_equivalence.store.base import Store
from retrain_equivalence.study.study import ACKNOWLEDGEMENT

WEAKENED = """# Weakened safety

This model had its safety stage unlearned in a study of unlearning ({acknowledgement!r}).
Do not deploy it and do not pass it on.
"""


def study_of_state(runs: Iterable[tuple[Plan, Inputs]], prefix: str) -> tuple[Plan, Inputs]:
    """Return the first run that has a state with that key.

    Raises:
        StudyError: E-CFG-93 if none has.
    """
    for planned, inputs in runs:
        if _states(planned, prefix):
            return planned, inputs
    raise StudyError.of("E-CFG-93", prefix, "no state of a known study has that key", "name its folder with --results")


def _states(planned: Plan, prefix: str) -> list[Planned]:
    kinds = BaseSpec | GivenSpec | StageSpec | UnlearnSpec
    return [item for key, item in planned.planned.items() if key.startswith(prefix) and isinstance(item.spec, kinds)]


def _saved_steps(store: Store, key: Key, spec: UnlearnSpec) -> list[int]:
    """The saved steps at which the trajectory was still finite."""
    files = store.get(key).manifest.files
    return [step for step in spec.save_at if step_file(step, FULL) in files or step_file(step, ADAPTER) in files]


def export_state(
    planned: Plan, inputs: Inputs, store: Store, prefix: str, directory: Path, *, step: int | None = None
) -> Path:
    """Write the weights of a state, its configuration and tokenizer to `directory`; return it.

    Args:
        planned: the plan of the run that the state belongs to.
        inputs: its data.
        store: holds the state.
        prefix: the state's key, or enough of its first digits.
        directory: must not exist.
        step: for an unlearning run, which saved step; None takes the last.

    Raises:
        StudyError: E-CFG-93 if no state of the study, or more than one, has that key, or the step is not saved;
            E-CFG-94 if the state has unlearned sensitive safety data and the study does not acknowledge that.
        InputError: E-DATA-87 if `directory` exists.
    """
    from retrain_equivalence.models.export import export_folder

    study = planned.study
    states = _states(planned, prefix)
    if len(states) != 1:
        raise StudyError.of("E-CFG-93", prefix, f"{len(states)} states of this study have that key", "give more digits")
    if directory.exists():
        raise InputError.of("E-DATA-87", str(directory), "exists already", "name a folder that does not exist")
    spec, key = states[0].spec, states[0].task.key
    saved = _saved_steps(store, key, spec) if isinstance(spec, UnlearnSpec) else []
    at = saved[-1] if step is None and saved else step
    if (at is not None and at not in saved) or (isinstance(spec, UnlearnSpec) and not saved):
        text = f"step {at} of this state is not saved (saved: {', '.join(map(str, saved)) or 'only its end'})"
        raise StudyError.of("E-CFG-93", prefix, text, "name a saved step")
    sensitive = inputs.datasets[study.forget.name].sensitive
    weakened = isinstance(spec, UnlearnSpec) and sensitive
    if weakened and study.acknowledge != ACKNOWLEDGEMENT:
        raise StudyError.of("E-CFG-94", "acknowledge", "weakened checkpoints are exported only where acknowledged")
    opened = States(store=store, plan=planned, model_recipe=study.model, inputs=inputs)
    if isinstance(spec, BaseSpec):
        model, codec = opened.merged(key, key)
    else:
        assert isinstance(spec, GivenSpec | StageSpec | UnlearnSpec)
        model, codec = opened.merged(key, spec.base, at)
    export_folder(model, codec, directory)
    if weakened:
        (directory / "WEAKENED-SAFETY.md").write_text(WEAKENED.format(acknowledgement=study.acknowledge))
    return directory
