import pytest

from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.duration import n_steps


def recipe(**duration):
    return TrainingRecipe(learning_rate=1e-3, global_batch_size=4, **duration)


def test_epochs_keep_the_short_last_batch():
    assert n_steps(recipe(num_train_epochs=3), 9, []) == 9
    assert n_steps(recipe(num_train_epochs=3), 8, []) == 6


def test_steps_are_taken_as_given():
    assert n_steps(recipe(max_steps=7), 2, []) == 7


@pytest.mark.parametrize(("tokens", "expected"), [(1, 1), (30, 1), (31, 2), (60, 2), (61, 3), (600, 20)])
def test_tokens_are_rounded_up_to_whole_steps(tokens, expected):
    # 6 rows of 10 tokens, 2 steps an epoch: 30 tokens a step in the mean.
    assert n_steps(recipe(max_tokens=tokens), 6, [10] * 6) == expected


def test_the_count_of_a_duration_in_tokens_does_not_depend_on_the_order_of_rows():
    assert n_steps(recipe(max_tokens=50), 5, [1, 2, 3, 40, 5]) == n_steps(recipe(max_tokens=50), 5, [40, 5, 3, 2, 1])


def test_row_lengths_are_needed_for_tokens():
    with pytest.raises(ValueError, match="needs 3 row lengths"):
        n_steps(recipe(max_tokens=5), 3, [1])
