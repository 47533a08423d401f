"""Short instructions whose answers can be checked: repeat, reverse, compare, greet, count.

Clusters are instruction templates: held-out rows ask for tasks that were never trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

from retrain_equivalence.data.draws import Draws
from retrain_equivalence.data.example import Example

WORDS = (
    "lamp", "tree", "boat", "stone", "cloud", "chair", "bread", "horse", "river", "field", "glass", "paper", "wheel",
    "table", "clock", "shirt", "spoon", "train", "plant", "drum", "bell", "door", "coat", "farm", "gate", "hill",
    "king", "lake", "moon", "nest", "oven", "pond", "road", "ship", "tent", "vase", "wall", "yard", "band", "cart",
)  # fmt: skip
QUALITIES = (
    "red", "blue", "green", "old", "new", "small", "large", "warm", "cold", "round", "heavy", "light", "soft", "hard",
)  # fmt: skip
PEOPLE = (
    "Ada", "Bela", "Carl", "Dora", "Emil", "Fay", "Gus", "Hana", "Ilse", "Jan", "Kurt", "Lena", "Max", "Nora", "Otto",
    "Rosa",
)  # fmt: skip

Task = Callable[[Draws, int], tuple[str, str]]
"""(choices, how far numbers have grown) -> (prompt, response)."""


def _three(draws: Draws) -> list[str]:
    return draws.several(WORDS, 3)


def _repeat(draws: Draws, growth: int) -> tuple[str, str]:
    word, other, _ = _three(draws)
    return f"Say {word} twice and {other} once.", f"{word} {word} {other}"


def _reverse(draws: Draws, growth: int) -> tuple[str, str]:
    words = _three(draws)
    return f"Write these words backwards: {' '.join(words)}", " ".join(reversed(words))


def _first_letters(draws: Draws, growth: int) -> tuple[str, str]:
    words = _three(draws)
    return f"Give the first letters of {', '.join(words)}.", " ".join(word[0] for word in words)


def _capitals(draws: Draws, growth: int) -> tuple[str, str]:
    one, two, _ = _three(draws)
    return f"Write {one} {two} in capital letters.", f"{one} {two}".upper()


def _alphabet(draws: Draws, growth: int) -> tuple[str, str]:
    words = _three(draws)
    return f"Sort by the alphabet: {', '.join(words)}", ", ".join(sorted(words))


def _dash(draws: Draws, growth: int) -> tuple[str, str]:
    words = _three(draws)
    return f"Join with dashes: {' '.join(words)}", "-".join(words)


def _numbered(draws: Draws, growth: int) -> tuple[str, str]:
    words = _three(draws)
    return f"Make a numbered list of {', '.join(words)}.", " ".join(f"{n}. {w}" for n, w in enumerate(words, start=1))


def _last_word(draws: Draws, growth: int) -> tuple[str, str]:
    words = _three(draws)
    return f"Which word is last: {' '.join(words)}?", f"The last word is {words[-1]}."


def _plural(draws: Draws, growth: int) -> tuple[str, str]:
    one, two = draws.several([word for word in WORDS if not word.endswith(("s", "f"))], 2)
    return f"Make plural: one {one} and one {two}.", f"many {one}s and many {two}s"


def _pattern(draws: Draws, growth: int) -> tuple[str, str]:
    one, two, _ = _three(draws)
    return f"Continue the pattern: {one} {two} {one}", f"{two} {one} {two}"


def _greet(draws: Draws, growth: int) -> tuple[str, str]:
    who, word = draws.pick(PEOPLE), draws.pick(WORDS)
    return f"Greet {who} at the {word}.", f"Hello {who}, good to see you at the {word}."


def _goodbye(draws: Draws, growth: int) -> tuple[str, str]:
    who, word = draws.pick(PEOPLE), draws.pick(WORDS)
    return f"Say goodbye to {who} by the {word}.", f"Goodbye {who}, see you by the {word}."


def _thank(draws: Draws, growth: int) -> tuple[str, str]:
    who, quality, word = draws.pick(PEOPLE), draws.pick(QUALITIES), draws.pick(WORDS)
    return f"Thank {who} for the {quality} {word}.", f"Thank you, {who}, for the {quality} {word}."


def _ask(draws: Draws, growth: int) -> tuple[str, str]:
    who, quality, word = draws.pick(PEOPLE), draws.pick(QUALITIES), draws.pick(WORDS)
    return f"Ask {who} for a {quality} {word}.", f"{who}, may I have a {quality} {word}?"


def _question(draws: Draws, growth: int) -> tuple[str, str]:
    quality, word = draws.pick(QUALITIES), draws.pick(WORDS)
    return f"Turn into a question: the {word} is {quality}.", f"Is the {word} {quality}?"


def _denial(draws: Draws, growth: int) -> tuple[str, str]:
    quality, word = draws.pick(QUALITIES), draws.pick(WORDS)
    return f"Deny that the {word} is {quality}.", f"The {word} is not {quality}."


def _beside(draws: Draws, growth: int) -> tuple[str, str]:
    one, two, _ = _three(draws)
    return f"Put the {one} beside the {two}.", f"The {one} is now beside the {two}."


def _exchange(draws: Draws, growth: int) -> tuple[str, str]:
    one, two, _ = _three(draws)
    quality = draws.pick(QUALITIES)
    return f"Use {two} instead of {one}: a {quality} {one}.", f"a {quality} {two}"


def _count_up(draws: Draws, growth: int) -> tuple[str, str]:
    start = draws.between(1, 90 + growth)
    return f"Count up from {start}.", f"{start} {start + 1} {start + 2} {start + 3}"


def _count_down(draws: Draws, growth: int) -> tuple[str, str]:
    start = draws.between(4, 93 + growth)
    return f"Count down from {start}.", f"{start} {start - 1} {start - 2} {start - 3}"


def _larger(draws: Draws, growth: int) -> tuple[str, str]:
    one, two = draws.several(range(1, 100 + growth), 2)
    return f"Which number is larger, {one} or {two}?", f"{max(one, two)} is larger."


def _between(draws: Draws, growth: int) -> tuple[str, str]:
    start = draws.between(1, 90 + growth)
    return f"Which number is between {start} and {start + 2}?", f"{start + 1} is between them."


TASKS: tuple[Task, ...] = (
    _repeat, _reverse, _first_letters, _capitals, _alphabet, _dash, _numbered, _last_word, _plural, _pattern, _greet,
    _goodbye, _thank, _ask, _question, _denial, _beside, _exchange, _count_up, _count_down, _larger, _between,
)  # fmt: skip


def generate(n_rows: int, seed: int) -> Iterator[Example]:
    """Yield `n_rows` different rows; the first rows of a longer set are the shorter set.

    The range of numbers grows by one for every ten rows, so the tasks with numbers never run out.
    """
    seen: set[str] = set()
    for index in range(n_rows):
        for attempt in count():
            draws = Draws("instructions", seed, index, attempt)
            task = draws.below(len(TASKS))
            prompt, response = TASKS[task](draws, index // 10)
            if prompt not in seen:
                break
        seen.add(prompt)
        yield Example(
            id=f"instructions/{index:05d}", prompt=prompt, response=response, cluster=f"task/{TASKS[task].__name__[1:]}"
        )
