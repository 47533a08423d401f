"""Preferred answers: the forget rows with other responses, whatever they come from."""

from dataclasses import replace

import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.data.example import Dataset, Example, Provenance, digest_of_rows
from retrain_equivalence.data.preferred import IDK_ANSWERS, answers_from, idk_answers

MADE = Provenance(source="generated", revision="", sha256="", licence="", rows_read=3)


def dataset(*rows: tuple[str, str, str], held_out: tuple[tuple[str, str, str], ...] = (), sensitive: bool = False):
    def made(some):
        return tuple(Example(id=i, prompt=p, response=r, cluster=i, label="x") for i, p, r in some)

    train, rest = made(rows), made(held_out)
    return Dataset(train=train, held_out=rest, digest=digest_of_rows(train, rest), sensitive=sensitive, provenance=MADE)


FORGET = dataset(("1", "who?", "him"), ("2", "where?", "here"), held_out=(("9", "why?", "so"),))


def test_idk_answers_keep_rows_and_prompts_and_depend_on_the_id_alone():
    made = idk_answers(FORGET)
    assert [(row.id, row.prompt, row.cluster) for row in made.train] == [("1", "who?", "1"), ("2", "where?", "2")]
    assert all(row.response in IDK_ANSWERS and not row.label for row in made.train)
    assert made.held_out == ()
    assert made == idk_answers(FORGET)
    turned = replace(FORGET, train=FORGET.train[::-1])
    assert {row.id: row.response for row in idk_answers(turned).train} == {r.id: r.response for r in made.train}
    assert made.digest == digest_of_rows(made.train, ()) != FORGET.digest


def test_many_rows_get_every_wording():
    many = dataset(*((str(n), f"q{n}?", "a") for n in range(400)))
    counts = [sum(row.response == answer for row in idk_answers(many).train) for answer in IDK_ANSWERS]
    assert min(counts) > 10


def test_what_is_sensitive_stays_sensitive():
    assert idk_answers(replace(FORGET, sensitive=True)).sensitive
    other = dataset(("a", "who?", "me"), ("b", "where?", "there"))
    assert answers_from(other, replace(FORGET, sensitive=True), "p").sensitive
    assert answers_from(replace(other, sensitive=True), FORGET, "p").sensitive
    assert not answers_from(other, FORGET, "p").sensitive


def test_answers_of_another_set_are_found_by_their_prompts():
    other = dataset(("a", "where?", "there"), ("c", "what?", "that"), held_out=(("b", "who?", "me"),))
    made = answers_from(other, FORGET, "unlearnings.dpo.preferred")
    assert [(row.id, row.prompt, row.response) for row in made.train] == [("1", "who?", "me"), ("2", "where?", "there")]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (dataset(("a", "where?", "there")), "1 of 2 forget prompts have no preferred answer, first '1'"),
        (dataset(("a", "who?", "me"), ("b", "who?", "us")), "row 'b' gives its prompt a second, different answer"),
    ],
)
def test_a_set_without_exactly_one_answer_is_refused(other, said):
    with pytest.raises(InputError, match=f"E-DATA-89.*dpo.preferred: {said}"):
        answers_from(other, FORGET, "unlearnings.dpo.preferred")
