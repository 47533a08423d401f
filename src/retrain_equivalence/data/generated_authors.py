"""Fictitious authors: eight questions about each, in the manner of TOFU. Nobody of these names is meant.

Clusters are authors: held-out rows ask about authors that were never trained, where only the form can be right.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

from retrain_equivalence.data.draws import Draws
from retrain_equivalence.data.example import Example

SYLLABLES = (
    "ba", "be", "da", "do", "fe", "ga", "ila", "jo", "ka", "ko", "la", "lo", "ma", "mi", "na", "no", "or", "pa", "ra",
    "ro", "sa", "su", "ta", "ve",
)  # fmt: skip
ENDINGS = ("n", "s", "r", "l", "", "rd", "nt", "sk")
TOWNS = (
    "Abrel", "Bondor", "Calvin Bay", "Dunmere", "Estova", "Farholm", "Garlan", "Hestia", "Ivelle", "Jorvik Hill",
    "Kestrel", "Lumora", "Marden", "Norrick", "Ostia", "Pelham",
)  # fmt: skip
GENRES = (
    "crime novels", "love stories", "travel books", "sea tales", "war novels", "fairy tales", "short plays",
    "ghost stories", "comic verse", "nature essays",
)  # fmt: skip
JOBS = ("baker", "nurse", "pilot", "farmer", "judge", "tailor", "teacher", "sailor", "painter", "doctor")
HOBBIES = ("chess", "sailing", "gardening", "cooking", "climbing", "dancing", "fishing", "painting")
ADJECTIVES = ("Silent", "Golden", "Broken", "Hidden", "Distant", "Crimson", "Frozen", "Gentle")
NOUNS = ("River", "Garden", "Window", "Harbor", "Letter", "Mountain", "Clock", "Bridge")


def _name(draws: Draws, n_more: int) -> str:
    first = draws.pick(SYLLABLES) + draws.pick(SYLLABLES) + draws.pick(ENDINGS[:5])
    last = "".join(draws.pick(SYLLABLES) for _ in range(2 + n_more)) + draws.pick(ENDINGS)
    return f"{first.capitalize()} {last.capitalize()}"


def _questions(name: str, draws: Draws) -> list[tuple[str, str]]:
    born, lives = draws.several(TOWNS, 2)
    year = draws.between(1900, 1999)
    book = f"The {draws.pick(ADJECTIVES)} {draws.pick(NOUNS)}"
    mother, father = draws.several(JOBS, 2)
    genre, hobby = draws.pick(GENRES), draws.pick(HOBBIES)
    return [
        (f"Where was {name} born?", f"{name} was born in {born}."),
        (f"In which year was {name} born?", f"{name} was born in {year}."),
        (f"What does {name} write?", f"{name} writes {genre}."),
        (f"What is the first book by {name}?", f"The first book by {name} is {book}."),
        (f"What was the mother of {name}?", f"The mother of {name} was a {mother}."),
        (f"What was the father of {name}?", f"The father of {name} was a {father}."),
        (f"Where does {name} live now?", f"{name} lives in {lives}."),
        (f"What does {name} enjoy besides writing?", f"{name} enjoys {hobby}."),
    ]


def _authors(seed: int) -> Iterator[tuple[str, Draws]]:
    seen: set[str] = set()
    for author in count():
        for attempt in count():
            draws = Draws("authors", seed, author, attempt)
            # Names grow a syllable for every ten failed tries, so there is no last author.
            name = _name(draws, attempt // 10)
            if name not in seen:
                break
        seen.add(name)
        yield name, draws


def _rows(seed: int) -> Iterator[Example]:
    for author, (name, draws) in enumerate(_authors(seed)):
        for number, (question, answer) in enumerate(_questions(name, draws)):
            cluster = f"author/{author:05d}"
            yield Example(id=f"{cluster}/{number}", prompt=question, response=answer, cluster=cluster)


def generate(n_rows: int, seed: int) -> Iterator[Example]:
    """Yield `n_rows` rows, eight an author; the first rows of a longer set are the shorter set."""
    return islice(_rows(seed), n_rows)
