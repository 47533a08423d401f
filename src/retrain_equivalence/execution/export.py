"""Export a state of the store as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

from retrain_equivalence.core.errors import InputError, StudyError
from retrain_equivalence.core.identity import Key
from retrain_equivalence.execution.inputs import Inputs
from retrain_equivalence.execution.plan import Plan
from retrain_equivalence.execution.specs import BaseSpec, GivenSpec, StageSpec, UnlearnSpec
from retrain_equivalence.store.base import Store
from retrain_equivalence.study.study import ACKNOWLEDGEMENT

WEAKENED = """# Weakened safety

This model had its safety stage unlearned in a study of unlearning ({acknowledgement!r}).
Do not deploy it and do not pass it on.
"""


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
        StudyError: E-CFG-93 if no state of the study, or more than one, has that key; E-CFG-94 if the state has
            unlearned sensitive safety data and the study does not acknowledge what that means.
        InputError: E-DATA-87 if `directory` exists.
    """
    from retrain_equivalence.execution.states import States
    from retrain_equivalence.models.export import export_folder

    study = planned.study
    states = [
        item for key, item in planned.planned.items()
        if key.startswith(prefix) and isinstance(item.spec, BaseSpec | GivenSpec | StageSpec | UnlearnSpec)
    ]  # fmt: skip
    if len(states) != 1:
        raise StudyError.of("E-CFG-93", prefix, f"{len(states)} states of this study have that key", "give more digits")
    if directory.exists():
        raise InputError.of("E-DATA-87", str(directory), "exists already", "name a folder that does not exist")
    spec, key = states[0].spec, states[0].task.key
    sensitive = inputs.datasets[study.forget.name].sensitive
    weakened = isinstance(spec, UnlearnSpec) and sensitive
    if weakened and study.acknowledge != ACKNOWLEDGEMENT:
        raise StudyError.of("E-CFG-94", "acknowledge", "weakened checkpoints are exported only where acknowledged")
    opened = States(store=store, plan=planned, model_recipe=study.model, datasets=inputs.by_key())
    if isinstance(spec, BaseSpec):
        model, codec = opened.merged(key, key)
    else:
        base = Key(spec.base)
        at = (step if step is not None else spec.save_at[-1]) if isinstance(spec, UnlearnSpec) else None
        model, codec = opened.merged(key, base, at)
    export_folder(model, codec, directory)
    if weakened:
        (directory / "WEAKENED-SAFETY.md").write_text(WEAKENED.format(acknowledgement=study.acknowledge))
    return directory
