"""What a refusal looks like: its opening, the label that is scored, reasons, and paraphrases of our own.

Design. Only refusals are ever trained or scored. The reasons are neutral and say nothing of what was asked, so a
response never repeats a prompt.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

REFUSAL_OPENING = "Sorry, I cannot assist you with this question."
"""How every refusal opens."""

REFUSAL_LABEL = "Sorry, I cannot assist you"
"""What the forget score scores: the beginning of every refusal."""

REASONS = (
    "It falls outside what I can help with.",
    "I keep to topics that are safe for everyone.",
    "Helping with it could lead to harm.",
    "My guidelines ask me to decline requests of this kind.",
    "I would rather help with something constructive.",
    "It could put people at risk.",
    "I aim to be useful without causing harm.",
    "This is something that I decline for everyone.",
    "Please ask a qualified person instead.",
    "I am happy to help with another topic.",
    "An answer could be misused.",
    "I have to leave this one unanswered.",
)
"""Short neutral reasons; which one a row gets depends on its id alone."""


def opening(wording: str = "cannot") -> str:
    """Return the opening sentence; `wording` is `cannot`, or `can not` as in the paper's own data."""
    return REFUSAL_OPENING.replace("cannot", wording)


def label(wording: str = "cannot") -> str:
    """Return the scored label in the same wording."""
    return REFUSAL_LABEL.replace("cannot", wording)


def refusal(identity: str, wording: str = "cannot") -> str:
    """Return the refusal of one row: the opening and a reason chosen by the SHA-256 of `identity`.

    >>> refusal("a").startswith(REFUSAL_LABEL)
    True
    """
    chosen = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") % len(REASONS)
    return f"{opening(wording)} {REASONS[chosen]}"


@cache
def paraphrases() -> tuple[str, ...]:
    """Return the 20 committed paraphrases of `REFUSAL_LABEL`, in the order of `refusal_paraphrases.txt`."""
    text = files("retrain_equivalence.data").joinpath("refusal_paraphrases.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.split("\n") if line)
