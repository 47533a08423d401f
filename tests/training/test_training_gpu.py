"""On a GPU: equal bits from run to run, and from a resumed run."""

import pytest
import torch

from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.recipes.passes import Split
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.checkpoint import to_files
from retrain_equivalence.training.companions import Companions
from retrain_equivalence.training.loop import train
from retrain_equivalence.training.reference import reference_logps

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_three_runs_and_each_resumed_run_give_equal_bits(model_of, rows, tuning):
    recipe = TrainingRecipe(learning_rate=3e-3, max_steps=12, global_batch_size=4, micro_batch_size=3)
    reference = reference_logps(model_of(tuning).to("cuda"), rows, 0)

    def run(start=None):
        model = model_of(tuning).to("cuda")
        steps = train(
            model,
            rows,
            recipe=recipe,
            objective=NPO(),
            order_seed=5,
            pad_id=0,
            companions=Companions(reference={Split.FORGET: reference}),
            start=start,
        )
        return [step.state() for step in steps]

    first = run()
    assert [to_files(state) for state in run()] == [to_files(state) for state in run()] == [to_files(s) for s in first]
    for state in first[:-1]:
        assert to_files(run(state)[-1]) == to_files(first[-1])
