"""How many optimizer steps a recipe asks for; torch-free, so that a plan can count without loading anything."""

from __future__ import annotations

from collections.abc import Sequence

from retrain_equivalence.data.order import steps_per_epoch
from retrain_equivalence.recipes.training import TrainingRecipe


def n_steps(recipe: TrainingRecipe, n_rows: int, tokens_per_row: Sequence[int]) -> int:
    """Return the number of optimizer steps.

    Epochs: `epochs * ceil(n_rows / global_batch_size)`. Steps: as given. Tokens: `ceil(max_tokens / m)` with m the mean
    number of real tokens per step of an epoch. The count uses this mean instead of the batches that are drawn, because
    every replicate and every sample order must have the same number of steps, hence the same schedule; the tokens that
    are really seen differ from the wish by less than one epoch's unevenness, and `LoopStep.tokens` reports them.

    Args:
        recipe: whose duration and `global_batch_size` count.
        n_rows: rows of the data set, >= 1.
        tokens_per_row: real tokens of each row, [n_rows]; read only for a duration in tokens.

    Raises:
        ValueError: if the lengths do not agree, or a row has no token, for a duration in tokens.

    >>> n_steps(TrainingRecipe(learning_rate=1e-3, num_train_epochs=2, global_batch_size=4), 10, [])
    6
    >>> n_steps(TrainingRecipe(learning_rate=1e-3, max_tokens=31, global_batch_size=2), 4, [5, 5, 5, 5])
    4
    """
    duration, per_epoch = recipe.duration, steps_per_epoch(n_rows, recipe.global_batch_size)
    if duration.epochs is not None:
        return duration.epochs * per_epoch
    if duration.steps is not None:
        return duration.steps
    assert duration.tokens is not None
    if len(tokens_per_row) != n_rows or min(tokens_per_row) < 1:
        raise ValueError(f"a duration in tokens needs {n_rows} row lengths of at least 1, found {len(tokens_per_row)}")
    return -(-duration.tokens * per_epoch // sum(tokens_per_row))
