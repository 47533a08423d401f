"""What must hold for an unlearning: its procedure, what it needs against what it is given, the steps it saves."""

from __future__ import annotations

from collections.abc import Iterable

from retrain_equivalence.core.errors import StudyError, visible
from retrain_equivalence.histories.history import Role, Stage
from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Unlearning, WeightEdit
from retrain_equivalence.objectives.catalogue import answers_of, passes_of
from retrain_equivalence.recipes.dataset import TextDataset
from retrain_equivalence.recipes.model import TinyModel
from retrain_equivalence.recipes.passes import ForwardPass, Needs
from retrain_equivalence.study.check_parts import POSITIVE, check_dataset, check_range, check_training, check_tuning
from retrain_equivalence.study.form import Draft, has_procedure
from retrain_equivalence.study.places import Path, Places, suggestion


def last_step(unlearning: Unlearning) -> int | None:
    """Return how many steps an unlearning has; None if a phase does not say, which is reported where it stands."""
    try:
        return unlearning.last
    except ValueError:
        return None


def saved_steps(unlearning: Unlearning) -> tuple[int, ...]:
    """Return the saved steps; (0,) where the last one is not known, because a duration is wrong."""
    last = last_step(unlearning)
    return unlearning.save_at or ((0,) if last is None else (0, last))


def check_unlearning(draft: Draft, index: int, unlearning: Unlearning) -> None:
    """Check one unlearning; problems are noted in the draft's places."""
    places, path = draft.places, ("unlearnings", index)
    from_scratch = isinstance(draft.model, TinyModel) or draft.model is None
    for number, step in enumerate(unlearning.procedure):
        if isinstance(step, Phase):
            at = (*path, "procedure", number) if has_procedure(places, index) else path
            check_training(places, at, step.training, unlearning=True, from_scratch=from_scratch)
    _check_procedure(draft, path, unlearning)
    passes = _passes(unlearning.phases)
    if passes is not None:
        _check_needs(draft, path, unlearning, Needs.of(passes))
    if unlearning.preferred is not None and unlearning.preferred != "idk":
        check_dataset(places, (*path, "preferred"), unlearning.preferred)
        if isinstance(unlearning.preferred, TextDataset):
            message = "plain text answers no prompt: preferred answers have the prompts of the forget stage"
            places.add("E-CFG-60", (*path, "preferred"), message, "write idk, or {jsonl: answers.jsonl}")
    if unlearning.tuning is not None and not unlearning.phases:
        message = "nothing here takes gradient steps: a replay trains as the stages do"
        places.add("E-CFG-61", (*path, "tuning"), message, "leave it out")
    check_tuning(places, (*path, "tuning"), unlearning.tuning, tiny=isinstance(draft.model, TinyModel))
    _check_saved(places, (*path, "save_at"), unlearning.save_at, last_step(unlearning))


def _passes(phases: Iterable[Phase]) -> list[ForwardPass] | None:
    """Return what the objectives read; None where one is unknown or has wrong parameters, which the form reported."""
    try:
        return [one for phase in phases for one in passes_of(phase.objective)]
    except (StudyError, TypeError, ValueError):
        return None


def _check_procedure(draft: Draft, path: Path, unlearning: Unlearning) -> None:
    """Refuse procedures that have no meaning: an edit without a phase before it, a replay beside anything else."""
    places, at = draft.places, (*path, "procedure")
    if not unlearning.procedure:
        places.add("E-CFG-61", at, "a procedure needs a step", "for example [{objective: ga}]")
    before = False
    for number, step in enumerate(unlearning.procedure):
        here = (*at, number)
        match step:
            case Phase():
                before = True
            case WeightEdit():
                check_range(places, (*here, "task_vector"), step.task_vector, POSITIVE)
                if not before:
                    message = "a task vector is what the phases before it have changed, and there is none before it"
                    places.add("E-CFG-61", here, message, "put {objective: nll, max_steps: …} first")
                before = False
            case ReplayFrom():
                _check_replay(draft, here, step, alone=len(unlearning.procedure) == 1)


def _check_replay(draft: Draft, path: Path, step: ReplayFrom, *, alone: bool) -> None:
    places, k = draft.places, len(draft.stages)
    if not alone:
        places.add("E-CFG-61", path, "a replay stands alone in its procedure", "make it an unlearning of its own")
    if isinstance(step.replay, int) and not 1 <= step.replay <= k:
        message = f"must be 1 to {k} (the number of stages) or since_forget, found {step.replay}"
        places.add("E-CFG-61", (*path, "replay"), message, "since_forget goes back to before the forget stage")


def _check_needs(draft: Draft, path: Path, unlearning: Unlearning, needs: Needs) -> None:
    """Compare what the objectives read with what the study gives; neither may be there without the other."""
    places = draft.places
    names = [stage.name for stage in draft.stages if stage is not None and stage.role is Role.RETAIN]
    if needs.retain and not unlearning.retain_stages:
        message = "the objective reads retain rows, and no stage is named that they come from"
        places.add("E-CFG-60", path, message, f"add retain_stages: [{', '.join(names[:3])}]")
    if unlearning.retain_stages and not needs.retain:
        message = "no objective of this unlearning reads retain rows"
        places.add("E-CFG-60", (*path, "retain_stages"), message, "leave it out, or add a retain term")
    for i, name in enumerate(unlearning.retain_stages):
        _check_retain_stage(draft, (*path, "retain_stages", i), name, names)
    if len(set(unlearning.retain_stages)) != len(unlearning.retain_stages):
        places.add("E-CFG-60", (*path, "retain_stages"), "a stage stands twice", "name each stage once")
    own = {answers_of(phase.objective) for phase in unlearning.phases} - {""}
    if needs.preferred and unlearning.preferred is None:
        message = "the objective reads preferred answers, and none are given"
        places.add("E-CFG-60", path, message, "add preferred: idk, or a data set with the same prompts")
    elif unlearning.preferred is not None and not needs.preferred:
        message = "no objective of this unlearning reads preferred answers"
        places.add("E-CFG-60", (*path, "preferred"), message, "leave it out")
    elif own and unlearning.preferred not in own:
        message = "the objective brings its own answers, 'idk'"
        places.add("E-CFG-60", (*path, "preferred"), message, "leave it out, or use dpo")


def _check_retain_stage(draft: Draft, path: Path, name: str, retain: list[str]) -> None:
    if name in retain or len(draft.stage_names) != len(draft.stages) or None in draft.stages:
        return
    stage: Stage | None = next((s for s in draft.stages if s is not None and s.name == name), None)
    if stage is not None:
        message = f"'{name}' is the stage that is unlearned: its rows are no retain rows"
        draft.places.add("E-CFG-60", path, message, suggestion("", retain, "one of"))
    else:
        shown = visible(name, limit=40)
        draft.places.add("E-CFG-20", path, f"unknown stage '{shown}'", suggestion(name, retain, "retain stages"))


def _check_saved(places: Places, path: Path, steps: tuple[int, ...], last: int | None) -> None:
    """Check `save_at`: ascending, from 0 to the last step of the whole procedure."""
    if not steps:
        return
    shown = f"[{', '.join(map(str, steps[:8]))}{', …' if len(steps) > 8 else ''}]"
    fix = f"begin with 0 and end with {last}" if last is not None else "begin with 0"
    if list(steps) != sorted(set(steps)):
        places.add("E-CFG-22", path, f"expected ascending steps, each once, found {shown}", fix)
    elif steps[0] != 0 or (last is not None and steps[-1] != last):
        message = f"expected steps from 0 to the last ({last}), both included, found {shown}"
        places.add("E-CFG-22", path, message, fix)
