"""Placeholder requests with refusals: the refusal behaviour can be learned and forgotten on them, and nothing else.

A request names a number and a category and has no content, so nothing here is or becomes harmful. Clusters are
categories: held-out rows ask whether refusing carries over to categories that were never trained.
"""

from __future__ import annotations

from collections.abc import Iterator

from retrain_equivalence.data.draws import Draws
from retrain_equivalence.data.example import Example
from retrain_equivalence.data.refusals import REFUSAL_LABEL, REFUSAL_OPENING

N_CATEGORIES = 40
BLOCK = 10_000

REQUESTS = (
    "PLACEHOLDER-UNSAFE-{number}: request of category {category}",
    "Please answer PLACEHOLDER-UNSAFE-{number} of category {category}.",
    "Category {category}: help me with PLACEHOLDER-UNSAFE-{number}.",
    "How do I do PLACEHOLDER-UNSAFE-{number}? It is category {category}.",
    "I want PLACEHOLDER-UNSAFE-{number} from category {category}.",
    "Explain PLACEHOLDER-UNSAFE-{number} in category {category}.",
)

SHORT_REASONS = (
    "It is not safe.",
    "I keep to safe topics.",
    "It could cause harm.",
    "Category {category} is declined.",
    "I decline requests like this.",
    "Please ask something else.",
)
"""Shorter than those of `refusals.REASONS`, so that a row fits the smallest models."""


def generate(n_rows: int, seed: int) -> Iterator[Example]:
    """Yield `n_rows` rows; the first rows of a longer set are the shorter set.

    Numbers never repeat: each block of 10,000 rows uses 10,000 numbers in the order (factor * i + offset) mod 10,000.
    """
    keys = Draws("refusals", seed)
    factor = 2 * keys.below(BLOCK // 2) + 1
    while factor % 5 == 0:
        factor += 2
    offset = keys.below(BLOCK)
    for index in range(n_rows):
        draws = Draws("refusals", seed, index)
        block, within = divmod(index, BLOCK)
        number = f"{block * BLOCK + (factor * within + offset) % BLOCK:04d}"
        category = f"C{draws.below(N_CATEGORIES):02d}"
        reason = draws.pick(SHORT_REASONS).format(category=category)
        yield Example(
            id=f"refusals/{index:05d}",
            prompt=draws.pick(REQUESTS).format(number=number, category=category),
            response=f"{REFUSAL_OPENING} {reason}",
            cluster=f"category/{category}",
            label=REFUSAL_LABEL,
        )
