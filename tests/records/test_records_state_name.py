"""Names of states: written and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.records.state_name import StateName

words = st.text("abcXYZ019_-", min_size=1, max_size=6)
histories = st.one_of(
    st.just("(base)"), st.lists(words, min_size=1, max_size=4).map(">".join), words.map("{}~1".format)
)
trained = st.builds(StateName, history=histories, replicate=st.integers(0, 99))
unlearned = st.builds(
    StateName, history=histories, replicate=st.integers(0, 99), unlearning=words, step=st.integers(0, 999)
)


@given(trained | unlearned)
def test_names_are_read_back(name: StateName) -> None:
    assert StateName.parse(str(name)) == name


def test_the_two_forms() -> None:
    assert str(StateName(history="a>b", replicate=3)) == "a>b#3"
    assert str(StateName(history="a>b~1", replicate=3, unlearning="ga", step=10)) == "a>b~1#3@ga:10"


@pytest.mark.parametrize(
    "text", ["", "a", "a#", "a#x", "#3", "a#3@", "a#3@ga", "a#3@ga:", "a#3@:4", "a#03", "a# 3", "a#-1", "a#3@ga:+4"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a state name"):
        StateName.parse(text)


def test_names_sort_by_history_replicate_and_step() -> None:
    names = [
        StateName(history="b", replicate=0),
        StateName(history="a", replicate=10),
        StateName(history="a", replicate=9),
    ]
    assert [str(name) for name in sorted(names)] == ["a#9", "a#10", "b#0"]
