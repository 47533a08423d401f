"""Which prediction belongs to an unlearning: by its objective, or by the shape of its procedure."""

from __future__ import annotations

from retrain_equivalence.core.predictions import PREDICTED, Prediction
from retrain_equivalence.histories.unlearning import Unlearning, WeightEdit

RELEARN = "nll"
SINCE_FORGET = "since_forget"


def predicted(unlearning: Unlearning) -> Prediction | None:
    """Return what theory predicts for the gap between histories; None where it says nothing.

    A replay since the forget stage takes the difference away; whether one of a number of stages reaches back to it is a
    matter of the history, so nothing is said of it. A procedure that ends in a task vector expands once and boundedly
    if all that comes before is relearning. Relearning before something that expands shrinks the gap first. One phase is
    predicted by its objective alone; of any other procedure nothing is known.

    >>> from retrain_equivalence.histories.unlearning import Phase, ReplayFrom
    >>> from retrain_equivalence.recipes.objective import ObjectiveRecipe
    >>> from retrain_equivalence.recipes.training import TrainingRecipe
    >>> def phase(name):
    ...     return Phase(objective=ObjectiveRecipe(name=name), training=TrainingRecipe(learning_rate=0.1))
    >>> def of(*steps):
    ...     return predicted(Unlearning(name="x", procedure=steps))
    >>> of(phase("idk")).value, of(phase("nll"), phase("ga")).value, of(phase("flat_logits"))
    ('contracting', 'shrinks, then expands', None)
    """
    if unlearning.replay is not None:
        return Prediction.REMOVED if unlearning.replay.replay == SINCE_FORGET else None
    names = [phase.objective.name for phase in unlearning.phases]
    if any(isinstance(step, WeightEdit) for step in unlearning.procedure):
        is_one_vector = isinstance(unlearning.procedure[-1], WeightEdit) and len(names) + 1 == len(unlearning.procedure)
        return Prediction.ONE_EXPANSION if is_one_vector and set(names) == {RELEARN} else None
    if len(names) > 1:
        relearned = set(names[:-1]) == {RELEARN}
        expands = PREDICTED.get(names[-1]) is Prediction.EXPANDING
        return Prediction.SHRINKS_THEN_EXPANDS if relearned and expands else None
    return PREDICTED.get(names[0]) if names else None
