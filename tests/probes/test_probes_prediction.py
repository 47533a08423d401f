"""Snapshots: positions, cells, what a state says there, and what storing it in fp16 costs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.data.example import Dataset, Example
from retrain_equivalence.metrics.pointwise import hellinger
from retrain_equivalence.metrics.reduction import item_weights, mean_over_items
from retrain_equivalence.probes import scoring
from retrain_equivalence.probes.base import Subject
from retrain_equivalence.probes.generic_text import generic_examples
from retrain_equivalence.probes.prediction import (
    Cells,
    cells_from_files,
    cells_to_files,
    choose_cells,
    from_files,
    scored_texts,
    snapshot,
    spread,
    to_files,
)
from retrain_equivalence.probes.prediction_sets import prediction_sets
from retrain_equivalence.recipes.probe import PredictionProbe

WHOLE = PredictionProbe(prediction="safety", items=5, positions=4, cells=512)
LUMPED = replace(WHOLE, cells=40)


@pytest.fixture
def sets(refusals: Dataset, sums: Dataset) -> dict[str, tuple[Example, ...]]:
    return prediction_sets(WHOLE, refusals, {"math": sums})


def distributions_alone(subject: Subject, cells: Cells) -> np.ndarray:
    """Every position by its own unpadded pass of the whole model, in float64."""
    rows = []
    with torch.no_grad():
        for text in cells.texts:
            logits = subject.model(torch.tensor([text.ids])).logits[0].double()
            rows += [torch.softmax(logits[target - 1], dim=-1).numpy() for target in text.targets]
    return np.array(rows)


def moved(subject: Subject, amount: float) -> Subject:
    """Change every matrix a little, as unlearning would."""
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in subject.model.parameters():
            parameter.add_(amount * parameter.std() * torch.randn(parameter.shape, generator=noise))
    return subject


def test_sets_are_kept_apart_and_limited(sets: dict[str, tuple[Example, ...]], refusals: Dataset) -> None:
    assert list(sets) == ["forget", "held_out", "retain:math", "generic"]
    assert [len(rows) for rows in sets.values()] == [5, 3, 5, 5]
    assert {row.id for row in sets["forget"]} <= {row.id for row in refusals.train}
    assert {row.id for row in sets["held_out"]} == {row.id for row in refusals.held_out}


def test_a_set_without_rows_is_absent(refusals: Dataset) -> None:
    bare = replace(refusals, held_out=())
    assert list(prediction_sets(WHOLE, bare, {})) == ["forget", "generic"]


@given(st.integers(1, 300), st.integers(1, 40))
def test_positions_are_spread_evenly_from_the_first_target(n_targets: int, positions: int) -> None:
    chosen = spread(n_targets, positions)
    assert chosen[0] == 0
    assert len(chosen) == len(set(chosen)) == min(n_targets, positions)
    assert chosen[-1] < n_targets
    gaps = np.diff([*chosen, n_targets])
    assert gaps.max() - gaps.min() <= 1


def test_a_small_vocabulary_is_kept_whole(subject: Subject, sets: dict[str, tuple[Example, ...]]) -> None:
    cells = choose_cells(subject, sets, WHOLE)
    taken = snapshot(subject, cells)
    assert not cells.lumped
    assert taken.probabilities.shape == (len(cells.positions), subject.model.config.vocab_size)
    # fp16 of a log-probability of -10 moves the probability by 0.4 %, and of the largest ones by 5e-4.
    assert taken.probabilities == pytest.approx(distributions_alone(subject, cells), abs=1e-3)
    assert taken.probabilities.sum(axis=1) == pytest.approx(np.ones(len(cells.positions)), abs=1e-12)
    assert (taken.rest_P == 0).all()


def test_the_first_scored_token_of_an_answer_is_its_first_token(
    subject: Subject, sets: dict[str, tuple[Example, ...]]
) -> None:
    cells = choose_cells(subject, sets, WHOLE)
    for text, row in zip(cells.texts, (row for rows in sets.values() for row in rows), strict=True):
        encoded = subject.codec.encode(row.prompt, row.response)
        assert text.targets[0] == encoded.n_prompt
        assert text.ids == encoded.ids[: text.targets[-1] + 1]
        assert len(text.targets) == min(4, len(encoded.ids) - encoded.n_prompt)
    generic = [text for text in cells.texts if text.set_name == "generic"]
    assert {text.targets[0] for text in generic} == {1}


def test_lumped_cells_are_the_base_s_top_tokens_the_label_and_the_rest(
    subject: Subject, sets: dict[str, tuple[Example, ...]]
) -> None:
    cells = choose_cells(subject, sets, LUMPED)
    assert cells.listed_PL is not None
    exact = distributions_alone(subject, cells)
    labels = [text.ids[target] for text in cells.texts for target in text.targets]
    for position, (listed, label) in enumerate(zip(cells.listed_PL, labels, strict=True)):
        assert len(set(listed.tolist())) == 39
        assert listed[-1] == label
        others = np.delete(exact[position], label)
        smallest_listed = min(exact[position][token] for token in listed[:-1])
        assert (others > smallest_listed * (1 + 1e-4)).sum() <= 37
    moved(subject, 0.3)
    other = distributions_alone(subject, cells)
    taken = snapshot(subject, cells)
    assert taken.probabilities.shape == (len(labels), 40)
    inside = np.take_along_axis(other, cells.listed_PL, axis=1)
    assert taken.rest_P == pytest.approx(1 - inside.sum(axis=1), abs=1e-5)
    assert taken.rest_P.max() > 0.1
    assert taken.probabilities[:, :-1] == pytest.approx(inside, abs=1e-3)
    assert taken.probabilities[:, -1] == pytest.approx(taken.rest_P, abs=1e-3)


def test_lumping_gives_a_lower_bound_of_the_whole_distance(
    subject: Subject, sets: dict[str, tuple[Example, ...]]
) -> None:
    whole, lumped = choose_cells(subject, sets, WHOLE), choose_cells(subject, sets, LUMPED)
    before = snapshot(subject, whole), snapshot(subject, lumped)
    moved(subject, 0.3)
    after = snapshot(subject, whole), snapshot(subject, lumped)
    exact, bound = (
        hellinger.per_position(b.probabilities, a.probabilities) for b, a in zip(before, after, strict=True)
    )
    assert (bound <= exact + 1e-6).all()
    assert bound.mean() > 0.4 * exact.mean() > 0  # measured .46 with 40 of 384 cells


def test_fp16_hardly_moves_a_distance(subject: Subject, sets: dict[str, tuple[Example, ...]]) -> None:
    cells = choose_cells(subject, sets, WHOLE)
    exact, stored = [], []
    for amount in (0.0, 0.001, 0.01, 0.05, 0.3):
        moved(subject, amount)
        exact.append(distributions_alone(subject, cells))
        stored.append(snapshot(subject, cells).probabilities)
    index = [item for _, item in cells.positions]
    numbers = np.unique(index, return_inverse=True)[1]
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4)):
        true = mean_over_items(hellinger.per_position(exact[a], exact[b]), numbers)
        kept = mean_over_items(hellinger.per_position(stored[a], stored[b]), numbers)
        # Measured: +3e-7 where the distance is 5e-6 (the floor), 1.5e-6 at .01, 6e-6 at .5.
        assert kept == pytest.approx(true, abs=1e-6 + 3e-4 * true)


def test_a_probability_too_small_for_fp16_is_kept(subject: Subject, sets: dict[str, tuple[Example, ...]]) -> None:
    with torch.no_grad():
        subject.model.get_output_embeddings().weight.mul_(8)
    taken = snapshot(subject, choose_cells(subject, sets, WHOLE))
    smallest = taken.probabilities.min()
    assert np.float16(smallest) == 0 < smallest


def test_logits_beyond_fp16_are_probabilities_of_zero(subject: Subject, sets: dict[str, tuple[Example, ...]]) -> None:
    cells = choose_cells(subject, sets, WHOLE)
    with torch.no_grad():
        subject.model.get_output_embeddings().weight.mul_(1e5)
    taken = snapshot(subject, cells)
    assert taken.is_finite
    assert (taken.probabilities == 0).any()
    assert taken.probabilities.sum(axis=1) == pytest.approx(np.ones(len(taken.items)))


@pytest.mark.parametrize("recipe", [WHOLE, LUMPED], ids=["whole", "lumped"])
def test_a_state_that_has_left_the_numbers_says_so(
    subject: Subject, sets: dict[str, tuple[Example, ...]], recipe: PredictionProbe
) -> None:
    cells = choose_cells(subject, sets, recipe)
    assert snapshot(subject, cells).is_finite
    with torch.no_grad():
        subject.model.get_input_embeddings().weight.fill_(float("nan"))
    lost = snapshot(subject, cells)
    assert not lost.is_finite
    assert np.isnan(lost.rest_P).all()


def test_a_collapsed_state_is_seen_by_its_rest_mass(subject: Subject, sets: dict[str, tuple[Example, ...]]) -> None:
    cells = choose_cells(subject, sets, LUMPED)
    assert cells.listed_PL is not None
    never = np.setdiff1d(np.arange(cells.vocabulary_size), np.unique(cells.listed_PL))
    with torch.no_grad():  # a constant pushed towards tokens outside every cell
        subject.model.get_output_embeddings().weight[never] *= 40
    assert snapshot(subject, cells).rest_P.mean() > 0.2


def test_positions_know_their_set_and_item(subject: Subject, sets: dict[str, tuple[Example, ...]]) -> None:
    taken = snapshot(subject, choose_cells(subject, sets, WHOLE))
    assert taken.sets == tuple(sets)
    everything = np.concatenate([taken.positions_of(name) for name in taken.sets])
    assert everything.tolist() == list(range(len(taken.items)))
    for name, rows in sets.items():
        index = taken.item_index(name)
        assert sorted(set(index.tolist())) == list(range(len(rows)))
        assert [taken.items[p] for p in taken.positions_of(name)] == [rows[i].id for i in index]
        assert item_weights(index).sum() == pytest.approx(1)


@pytest.mark.parametrize("recipe", [WHOLE, LUMPED], ids=["whole", "lumped"])
def test_files_give_back_the_same_and_are_equal_bytes(
    subject: Subject, sets: dict[str, tuple[Example, ...]], recipe: PredictionProbe
) -> None:
    cells = choose_cells(subject, sets, recipe)
    again = cells_from_files(cells_to_files(cells), scored_texts(subject.codec, sets, recipe))
    assert again.digest == cells.digest
    assert (again.texts, again.vocabulary_size, again.lumped) == (cells.texts, cells.vocabulary_size, cells.lumped)
    taken, repeated = snapshot(subject, cells), snapshot(subject, again)
    assert to_files(taken) == to_files(repeated)
    back = from_files(to_files(taken))
    assert np.array_equal(back.log_probabilities_PC, taken.log_probabilities_PC)
    assert back.log_probabilities_PC.dtype == np.float16
    assert np.array_equal(back.rest_P, taken.rest_P)
    assert (back.set_names, back.items, back.cells, back.lumped) == (
        taken.set_names,
        taken.items,
        taken.cells,
        taken.lumped,
    )


def test_other_cells_have_another_digest(subject: Subject, sets: dict[str, tuple[Example, ...]]) -> None:
    digests = {choose_cells(subject, sets, recipe).digest for recipe in (WHOLE, LUMPED, replace(LUMPED, cells=41))}
    digests.add(choose_cells(subject, sets, replace(WHOLE, positions=5)).digest)
    assert len(digests) == 4


def test_batches_do_not_move_a_snapshot_beyond_rounding(
    subject: Subject, sets: dict[str, tuple[Example, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = choose_cells(subject, sets, LUMPED)
    together = snapshot(subject, cells).probabilities
    monkeypatch.setattr(scoring, "MAX_TOKENS", {"cpu": 1, "cuda": 1})
    assert snapshot(subject, cells).probabilities == pytest.approx(together, abs=1e-3)


def test_another_vocabulary_and_too_few_cells_are_refused(
    subject: Subject, sets: dict[str, tuple[Example, ...]]
) -> None:
    cells = choose_cells(subject, sets, WHOLE)
    with pytest.raises(ValueError, match="the cells are for 385 tokens, the model has 384"):
        snapshot(subject, replace(cells, vocabulary_size=385))
    with pytest.raises(ValueError, match="at least 3"):
        choose_cells(subject, sets, replace(WHOLE, cells=2))


def test_generic_text_is_forty_short_distinct_paragraphs() -> None:
    examples = generic_examples()
    assert len(examples) == len({example.response for example in examples}) == 40
    assert all(60 < len(example.response) < 300 and example.prompt == "" for example in examples)
    assert all("\n" not in example.response for example in examples)


def test_other_texts_than_those_of_the_cells_are_refused(
    subject: Subject, sets: dict[str, tuple[Example, ...]]
) -> None:
    files = cells_to_files(choose_cells(subject, sets, LUMPED))
    with pytest.raises(InputError, match="E-DATA-92"):
        cells_from_files(files, scored_texts(subject.codec, sets, replace(LUMPED, positions=2)))


def test_no_token_of_a_text_is_in_the_files_of_cells(subject: Subject, sets: dict[str, tuple[Example, ...]]) -> None:
    about = json.loads(cells_to_files(choose_cells(subject, sets, WHOLE))["cells.json"])
    assert set(about) == {"vocabulary_size", "digest", "lumped"}
