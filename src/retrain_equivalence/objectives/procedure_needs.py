"""What a whole unlearning procedure needs: the union of what its steps need, derived and never declared twice."""

from __future__ import annotations

from functools import reduce

from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Step, Unlearning, WeightEdit
from retrain_equivalence.objectives import catalogue
from retrain_equivalence.recipes.passes import Needs


def needs_of(unlearning: Unlearning) -> Needs:
    """Return what a procedure needs besides the forget rows and the model; torch-free.

    A phase needs what the forward passes of its objective say. A weight edit turns around at the history's own end
    model, of which it needs a copy. A replay needs the history.

    Raises:
        StudyError: E-CFG-40 if an objective is unknown here, E-CFG-47 if a plug-in's source is not the locked one.

    >>> from retrain_equivalence.recipes.training import TrainingRecipe
    >>> def phase(name):
    ...     return Phase(objective=catalogue.resolve(name, {}, ""), training=TrainingRecipe(learning_rate=0.1))
    >>> relearn_first = Unlearning(name="relearn-npo", procedure=(phase("nll"), phase("npo")))
    >>> needs_of(relearn_first).names(), needs_of(relearn_first).is_local
    (('forget', 'reference'), True)
    >>> needs_of(Unlearning(name="rewind", procedure=(ReplayFrom(replay="since_forget"),))).is_local
    False
    """
    return reduce(Needs.__or__, map(_needs_of_step, unlearning.procedure), Needs())


def _needs_of_step(step: Step) -> Needs:
    match step:
        case Phase():
            return catalogue.needs(step.objective)
        case WeightEdit():
            return Needs(reference=True)
        case ReplayFrom():
            return Needs(history=True)
