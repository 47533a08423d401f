"""Arithmetic word problems of one step, whose solutions end in `#### n` as in GSM8K.

Clusters are wordings: held-out rows ask problems that are told in words never trained on. Numbers start small and grow
by one for every thousand rows, so there is no last row.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from retrain_equivalence.data.draws import Draws
from retrain_equivalence.data.example import Example

NAMES = (
    "Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Leo", "Mia", "Noah", "Olga",
    "Paul",
)  # fmt: skip
THINGS = (
    "apples", "pens", "books", "coins", "cards", "stamps", "shells", "eggs", "cups", "keys", "balls", "seeds", "rings",
    "toys", "nuts", "plums",
)  # fmt: skip

WORDINGS = (
    ("+", "{who} has {a} {what} and buys {b} more. How many {what} now?"),
    ("+", "{who} finds {a} {what} and then {b} more. How many in all?"),
    ("+", "There are {a} {what} here and {b} there. How many together?"),
    ("+", "{who} made {a} {what} today and {b} yesterday. How many in total?"),
    ("+", "A box with {a} {what} gets {b} more. How many does it hold?"),
    ("+", "{who} picks {a} {what}. A friend brings {b}. What is the sum?"),
    ("+", "{a} {what} are red and {b} are blue. How many {what} are there?"),
    ("+", "{who} counts {a} {what}, then another {b}. How many were counted?"),
    ("-", "{who} has {a} {what} and gives away {b}. How many are left?"),
    ("-", "From {a} {what}, {who} loses {b}. How many remain?"),
    ("-", "A shop had {a} {what} and sold {b}. How many are left?"),
    ("-", "{who} needs {a} {what} and has {b}. How many are missing?"),
    ("-", "Of {a} {what}, {b} are broken. How many are whole?"),
    ("-", "{who} had {a} {what} and used {b}. What is left?"),
    ("-", "{a} {what} were on the table. {who} took {b}. How many stay?"),
    ("-", "{who} has {a} {what}, {b} more than a friend. How many has the friend?"),
    ("*", "{who} fills {a} bags with {b} {what} each. How many {what}?"),
    ("*", "There are {a} rows of {b} {what}. How many {what}?"),
    ("*", "{who} buys {b} {what} on each of {a} days. How many in all?"),
    ("*", "{a} children get {b} {what} each. How many {what} is that?"),
    ("*", "One box holds {b} {what}. How many do {a} boxes hold?"),
    ("*", "{who} sees {a} tables with {b} {what} each. How many {what}?"),
)
"""(operation, text) with the numbers `a` and `b`; a difference always has a > b."""


def generate(n_rows: int, seed: int) -> Iterator[Example]:
    """Yield `n_rows` different rows; the first rows of a longer set are the shorter set."""
    seen: set[str] = set()
    for index in range(n_rows):
        for attempt in count():
            draws = Draws("arithmetic", seed, index, attempt)
            wording = draws.below(len(WORDINGS))
            prompt, response = _problem(*WORDINGS[wording], draws, growth=index // 1000)
            if prompt not in seen:
                break
        seen.add(prompt)
        yield Example(id=f"arithmetic/{index:05d}", prompt=prompt, response=response, cluster=f"wording/{wording:02d}")


def _problem(operation: str, text: str, draws: Draws, growth: int) -> tuple[str, str]:
    top = 20 if operation != "*" else 9
    one, two = draws.between(2, top + growth), draws.between(2, top + growth)
    if operation == "-":
        one += two
    result = {"+": one + two, "-": one - two, "*": one * two}[operation]
    prompt = text.format(who=draws.pick(NAMES), what=draws.pick(THINGS), a=one, b=two)
    return prompt, f"{one} {operation} {two} = {result}\n#### {result}"
