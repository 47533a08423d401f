"""Scoring: the values of single, unpadded forward passes, whatever the batches."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.core.units import Unit
from retrain_equivalence.data.example import Dataset, Example
from retrain_equivalence.probes import scoring
from retrain_equivalence.probes.answer_logprob import AnswerLogprob
from retrain_equivalence.probes.base import ItemValue, Subject, choose_items
from retrain_equivalence.probes.forget_score import ForgetScore
from retrain_equivalence.probes.response_loss import ResponseLoss
from retrain_equivalence.probes.scoring import Size, batches, encode_answer
from retrain_equivalence.records.table import Status


def mean_logp_alone(subject: Subject, prompt: str, response: str, *, end: bool) -> float:
    """One text, one pass of the whole model, token by token: nothing shared with the package's own forward pass."""
    before = list(subject.codec.encode_prompt(prompt))
    after = subject.codec.tokenizer.encode(response, add_special_tokens=False) + ([subject.codec.end_id] if end else [])
    with torch.no_grad():
        logits = subject.model(torch.tensor([before + after])).logits[0].double()
    found = []
    for place, token in enumerate(after):
        row = logits[len(before) + place - 1]
        found.append(float(row[token] - torch.log(torch.exp(row).sum())))
    return sum(found) / len(found)


def test_answer_logprob_is_the_mean_over_response_and_end_token(subject: Subject, refusals: Dataset) -> None:
    values = list(AnswerLogprob(measure_name="answer_logprob:safety", examples=refusals.train).measure(subject))
    assert [value.item for value in values] == [example.id for example in refusals.train]
    for example, value in zip(refusals.train, values, strict=True):
        alone = mean_logp_alone(subject, example.prompt, example.response, end=True)
        # float32 against float64 sums of logits of size 10: measured 2e-6 at most.
        assert value.value == pytest.approx(alone, abs=1e-5)
        assert (value.measure, str(value.unit)) == ("answer_logprob:safety", "nats/token")


def test_response_loss_is_minus_the_answer_logprob(subject: Subject, refusals: Dataset) -> None:
    losses = ResponseLoss(measure_name="forget_loss", examples=refusals.train).measure(subject)
    logprobs = AnswerLogprob(measure_name="a", examples=refusals.train).measure(subject)
    assert [loss.value for loss in losses] == [-(logprob.value or 0) for logprob in logprobs]


def test_forget_score_scores_label_and_paraphrases_apart_and_without_end_token(
    subject: Subject, refusals: Dataset
) -> None:
    others = ("I will not help with that", "No")
    probe = ForgetScore(measure_name="forget_score:safety", examples=refusals.train, paraphrases=others)
    values = {(value.measure, value.item): value.value for value in probe.measure(subject)}
    assert len(values) == 2 * len(refusals.train)
    for example in refusals.train:
        label = mean_logp_alone(subject, example.prompt, example.label, end=False)
        assert values["forget_score:safety/label", example.id] == pytest.approx(label, abs=1e-5)
        mean = np.mean([mean_logp_alone(subject, example.prompt, text, end=False) for text in others])
        assert values["forget_score:safety/paraphrases", example.id] == pytest.approx(mean, abs=1e-5)


def test_a_row_without_label_is_scored_by_its_response(subject: Subject) -> None:
    row = Example(id="a", prompt="Who?", response="Nobody.", cluster="a")
    (value,) = ForgetScore(measure_name="forget_score:x", examples=(row,)).measure(subject)
    assert value.value == pytest.approx(mean_logp_alone(subject, "Who?", "Nobody.", end=False), abs=1e-5)


def test_batching_does_not_move_a_value(subject: Subject, refusals: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [encode_answer(subject.codec, example, None) for example in refusals.train]
    together = scoring.mean_logps(subject, rows)
    monkeypatch.setattr(scoring, "MAX_TOKENS", {"cpu": 1, "cuda": 1})
    assert scoring.mean_logps(subject, rows) == pytest.approx(together, abs=1e-5)
    assert scoring.mean_logps(subject, rows[::-1]) == pytest.approx(together[::-1], abs=1e-5)


def test_measuring_changes_neither_model_nor_global_random_state(subject: Subject, refusals: Dataset) -> None:
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    list(ResponseLoss(measure_name="forget_loss", examples=refusals.train).measure(subject))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in subject.model.state_dict().items())
    assert not subject.model.training
    assert all(parameter.grad is None for parameter in subject.model.parameters())


def test_a_model_that_has_left_the_numbers_is_unscored(subject: Subject, refusals: Dataset) -> None:
    with torch.no_grad():
        subject.model.get_input_embeddings().weight.fill_(float("nan"))
    values = list(ResponseLoss(measure_name="forget_loss", examples=refusals.train).measure(subject))
    assert {(value.value, value.status) for value in values} == {(None, Status.UNSCORED)}


def test_long_answers_are_cut_but_keep_a_target(subject: Subject) -> None:
    row = Example(id="a", prompt="p " * 20, response="one two three four five six", cluster="a")
    whole = encode_answer(subject.codec, row, None)
    assert encode_answer(subject.codec, row, len(whole.ids) - 2).ids == whole.ids[:-2]
    assert len(encode_answer(subject.codec, row, 3).ids) == whole.n_prompt + 1


@given(st.lists(st.tuples(st.integers(2, 3000), st.integers(1, 400)), max_size=30), st.integers(2, 200_000))
def test_batches_hold_every_text_once_within_both_limits(texts: list[tuple[int, int]], vocabulary: int) -> None:
    sizes = [Size(tokens=max(pair), targets=min(pair)) for pair in texts]
    cut = list(batches(sizes, vocabulary, "cuda"))
    assert sorted(index for batch in cut for index in batch) == list(range(len(sizes)))
    for batch in cut:
        tokens = max(sizes[index].tokens for index in batch) * len(batch)
        logits = sum(sizes[index].targets for index in batch) * vocabulary
        assert len(batch) == 1 or (tokens <= scoring.MAX_TOKENS["cuda"] and logits <= scoring.MAX_LOGITS)


def test_batches_are_full() -> None:
    sizes = [Size(tokens=64, targets=8)] * 300
    assert [len(batch) for batch in batches(sizes, 512, "cuda")] == [256, 44]
    assert [len(batch) for batch in batches(sizes, 512, "mps")] == [256, 44]
    assert {len(batch) for batch in batches(sizes, 512, "cpu")} == {8, 4}


def test_continuations_are_what_the_codec_would_encode(subject: Subject, refusals: Dataset) -> None:
    texts = ("Sorry, no", " a leading blank", "12")
    together = scoring.continue_each(subject.codec, refusals.train, texts)
    alone = [subject.codec.encode(e.prompt, text, id=e.id, end=False) for e in refusals.train for text in texts]
    assert together == alone


def test_items_are_a_fixed_subset_that_only_grows() -> None:
    rows = [Example(id=f"row-{i}", prompt="p", response="r", cluster="c") for i in range(50)]
    eight, twenty = choose_items(rows, 8), choose_items(rows[::-1], 20)
    assert twenty[:8] == eight
    assert {row.id for row in eight} != {f"row-{i}" for i in range(8)}
    assert choose_items(rows[:3], 8) == choose_items(rows[:3], 3)


def test_values_that_are_not_finite_carry_a_status_and_no_number() -> None:
    for bad in (float("nan"), float("inf"), float("-inf")):
        value = ItemValue.of("m", "i", bad, Unit.NATS)
        assert (value.value, value.status) == (None, Status.UNSCORED)
