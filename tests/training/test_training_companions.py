"""Companions of the forget rows: what is swapped moves what declares it and nothing else; sums, duals, batches."""

import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import pytest
import torch

from retrain_equivalence.models.forward import log_distributions, pad, token_logps
from retrain_equivalence.objectives.base import (
    POLICY_LOGPS,
    PREFERRED_LOGPS,
    REFERENCE_DISTRIBUTION,
    REFERENCE_LOGPS,
    RETAIN_LOGPS,
    TEACHER_DISTRIBUTION,
    Per,
    Seen,
    Terms,
    token_terms,
)
from retrain_equivalence.objectives.ga import GradientAscent
from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.objectives.weighted_sum import Dual, Part, WeightedSum
from retrain_equivalence.recipes.passes import ForwardPass, Signal, Split, Weights
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.checkpoint import from_files, to_files
from retrain_equivalence.training.companions import Companions
from retrain_equivalence.training.loop import train
from retrain_equivalence.training.passes import PassMaker
from retrain_equivalence.training.reference import reference_logps

HIDDEN = ForwardPass(signal=Signal.HIDDEN, layer=1)
LOGITS = ForwardPass(signal=Signal.LOGITS)
DISTRIBUTION = ForwardPass(signal=Signal.LOG_DISTRIBUTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """The mean of the token log-probabilities of one pass, times the first value of another one."""

    name: ClassVar[str] = "reads"
    per: ClassVar[Per] = Per.TOKEN
    cite: ClassVar[str] = ""
    passes: tuple[ForwardPass, ...] = (POLICY_LOGPS,)

    def __call__(self, seen: Seen) -> Terms:
        first, *others = (seen[asked] for asked in self.passes)
        factor = 1.0 + sum(float(other.values_BT[other.mask_BT].detach().sum()) for other in others)
        return token_terms(-first.values_BT * factor, first)


def recipe(**changes):
    asked = {"learning_rate": 3e-3, "max_steps": 5, "global_batch_size": 4, **changes}
    return TrainingRecipe(**asked)


@pytest.fixture
def companions_of(rows, model_of):
    def make(**changes):
        model = model_of()
        preferred = {row.id: replace(row, ids=(*row.ids[: row.n_prompt], 7, 8, 9)) for row in rows}
        retain = [replace(row, id=f"0/{row.id}", ids=row.ids[::-1]) for row in rows[:7]]
        of_split = {Split.FORGET: rows, Split.PREFERRED: list(preferred.values()), Split.RETAIN: retain}
        made = Companions(
            reference={split: reference_logps(model, some, 0) for split, some in of_split.items()},
            retain=retain,
            retain_order_seed=3,
            preferred=preferred,
            frozen={Weights.REFERENCE: copy.deepcopy(model), Weights.TEACHER: model_of()},
        )
        return replace(made, **changes)

    return make


def end(model, rows, objective, companions, **changes):
    steps = train(
        model, rows, recipe=recipe(**changes), objective=objective, order_seed=5, pad_id=0, companions=companions
    )
    last = list(steps)[-1]
    return {name: tensor.clone() for name, tensor in last.state().weights.items()}


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("asked", "moved_by"),
    [
        ((POLICY_LOGPS,), set()),
        ((POLICY_LOGPS, RETAIN_LOGPS), {"retain", "retain_order_seed"}),
        ((POLICY_LOGPS, PREFERRED_LOGPS), {"preferred"}),
        ((POLICY_LOGPS, REFERENCE_LOGPS), {"reference"}),
        ((POLICY_LOGPS, REFERENCE_DISTRIBUTION), {"frozen reference"}),
        ((POLICY_LOGPS, TEACHER_DISTRIBUTION), {"frozen teacher"}),
    ],
)
def test_what_is_not_declared_moves_nothing(model_of, rows, companions_of, asked, moved_by):
    """Locality in the loop itself: what an objective does not declare may be anything, and it ends at the same bits."""
    base = companions_of()
    with torch.no_grad():
        other = model_of()
        for parameter in other.parameters():
            parameter.mul_(1.1)
    swaps = {
        "retain": {"retain": [replace(row, ids=(5, *row.ids)) for row in base.retain]},
        "retain_order_seed": {"retain_order_seed": 4},
        "preferred": {"preferred": {k: replace(row, ids=(*row.ids, 11)) for k, row in base.preferred.items()}},
        "reference": {"reference": {s: {k: v - 1.0 for k, v in some.items()} for s, some in base.reference.items()}},
        "frozen reference": {"frozen": {**base.frozen, Weights.REFERENCE: other}},
        "frozen teacher": {"frozen": {**base.frozen, Weights.TEACHER: other}},
        "memory_seed": {"memory_seed": 9},
    }
    first = end(model_of(), rows, Reads(passes=asked), base)
    for what, change in swaps.items():
        again = end(model_of(), rows, Reads(passes=asked), replace(base, **change))
        assert same(first, again) == (what not in moved_by), what


def test_every_signal_of_one_forward_pass_is_right(model_of, rows, companions_of):
    model = model_of()
    asked = (POLICY_LOGPS, DISTRIBUTION, LOGITS, HIDDEN)
    make = PassMaker(model=model, companions=companions_of(), passes=asked, pad_id=0, device=torch.device("cpu"))
    seen = make({Split.FORGET: rows[:3]})
    padded = pad(rows[:3], 0)
    logps, mask = token_logps(model, padded)
    # One pass reads the last token in as well: the matrices have another shape, so rounding differs.
    torch.testing.assert_close(seen[POLICY_LOGPS].values_BT, logps, rtol=0, atol=2e-6)
    distribution, index = log_distributions(model, padded)
    b, t = index.T
    torch.testing.assert_close(seen[DISTRIBUTION].values_BT[b, t], distribution, rtol=0, atol=2e-6)
    torch.testing.assert_close(seen[LOGITS].values_BT[b, t].log_softmax(-1), distribution, rtol=0, atol=2e-6)
    gathered = seen[DISTRIBUTION].values_BT.gather(-1, seen[DISTRIBUTION].labels_BT1()).squeeze(-1)
    torch.testing.assert_close(gathered[mask], logps[mask], rtol=0, atol=2e-6)
    whole = model(input_ids=padded.ids_BT, output_hidden_states=True)
    torch.testing.assert_close(seen[HIDDEN].values_BT, whole.hidden_states[1], rtol=0, atol=1e-6)
    assert all(observed.mask_BT.equal(mask) for observed in seen.values())


def test_the_reference_of_an_adapted_model_is_the_model_without_its_adapter(model_of, rows):
    model, plain = model_of("lora"), model_of()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.fill_(0.1)
    asked = (DISTRIBUTION, REFERENCE_DISTRIBUTION)
    make = PassMaker(model=model, companions=Companions(), passes=asked, pad_id=0, device=torch.device("cpu"))
    seen = make({Split.FORGET: rows[:3]})
    expected, index = log_distributions(plain, pad(rows[:3], 0))
    b, t = index.T
    assert torch.equal(seen[REFERENCE_DISTRIBUTION].values_BT[b, t], expected)
    assert not seen[REFERENCE_DISTRIBUTION].values_BT.requires_grad
    assert not torch.allclose(seen[DISTRIBUTION].values_BT[b, t], expected, atol=1e-3)
    again = make({Split.FORGET: rows[:3]})
    assert torch.equal(again[DISTRIBUTION].values_BT, seen[DISTRIBUTION].values_BT), "the adapter is on again"


THREE = WeightedSum(
    (
        Part(objective=NPO()),
        Part(objective=Reads(passes=(RETAIN_LOGPS,)), weight=0.5),
        Part(objective=Reads(passes=(PREFERRED_LOGPS,)), weight=2.0),
    )
)


def test_a_sum_does_not_depend_on_micro_batches(model_of, rows, companions_of):
    whole = end(model_of().double(), rows, THREE, companions_of(), global_batch_size=8, max_steps=2)
    for size in (1, 3, 7):
        parts = end(
            model_of().double(), rows, THREE, companions_of(), global_batch_size=8, max_steps=2, micro_batch_size=size
        )
        for name, tensor in whole.items():
            # Adam's first step is the sign of the gradient: entries near 0 amplify rounding, up to 3e-8 here.
            torch.testing.assert_close(parts[name], tensor, rtol=0, atol=1e-6, msg=f"{name} at {size}")


def test_the_loss_of_a_sum_is_the_weighted_sum_of_means(model_of, rows, companions_of):
    companions = companions_of()
    found = [
        next(
            train(
                model_of().double(), rows, recipe=recipe(global_batch_size=10), objective=objective, order_seed=5,
                pad_id=0, companions=companions,
            )
        ).loss
        for objective in (THREE, *(part.objective for part in THREE.parts))
    ]  # fmt: skip
    assert found[0] == pytest.approx(found[1] + 0.5 * found[2] + 2.0 * found[3], rel=1e-12)


def test_every_forget_row_has_a_retain_row_beside_it(model_of, rows, companions_of):
    """Ten rows in batches of four leave a short last batch; seven retain rows come round within the second epoch."""
    seen: list[list[str]] = []

    class Recording(PassMaker):
        def __call__(self, batch):
            seen.append([row.id for row in batch[Split.RETAIN]])
            return super().__call__(batch)

    companions = companions_of()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrain_equivalence.training.loop.PassMaker", Recording)
        end(model_of(), rows, THREE, companions, max_steps=6)
    assert [len(batch) for batch in seen] == [4, 4, 2, 4, 4, 2]
    taken = [row for batch in seen for row in batch]
    assert len(set(taken[:7])) == len(set(taken[7:14])) == 7, "an epoch of retain rows holds each once, none is skipped"


def test_a_dual_variable_follows_its_loss_and_resumes_to_the_same_bits(model_of, rows, companions_of):
    dual = Dual(start=0.5, rate=0.25, bound=2.0)
    objective = WeightedSum(
        (Part(objective=GradientAscent()), Part(objective=Reads(passes=(RETAIN_LOGPS,)), weight=dual))
    )
    companions = companions_of()

    def run(start=None):
        return train(
            model_of(), rows, recipe=recipe(), objective=objective, order_seed=5, pad_id=0, companions=companions,
            start=start,
        )  # fmt: skip

    files, duals = [], []
    for step in run():
        files.append(to_files(step.state()))
        duals.append(float(step.state().memory["1/dual"]))
    assert all(later > earlier > 0.5 for earlier, later in pairwise(duals)), "the loss is above 2"
    for at in range(4):
        resumed = list(run(from_files(files[at].__getitem__)))
        assert to_files(resumed[-1].state()) == files[-1]


def test_a_state_of_another_objective_is_refused(model_of, rows, companions_of):
    from retrain_equivalence.core.errors import RunError

    start = next(train(model_of(), rows, recipe=recipe(), objective=GradientAscent(), order_seed=5, pad_id=0)).state()
    dual = Dual(start=0.5, rate=0.25, bound=2.0)
    objective = WeightedSum((Part(objective=GradientAscent(), weight=dual),))
    with pytest.raises(RunError, match=r"E-RUN-06.*memory \[\], expected \['0/dual'\]"):
        next(train(model_of(), rows, recipe=recipe(), objective=objective, order_seed=5, pad_id=0, start=start))
