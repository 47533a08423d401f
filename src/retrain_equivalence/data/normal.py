"""When two texts count as the same: exactly (but for case and blanks), or as one template."""

from __future__ import annotations

import hashlib
import re
import unicodedata

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""C0 control characters but tab, line feed and carriage return: refused in any text."""

_NOT_LETTERS = re.compile(r"[\W\d_]+")


def same_text(text: str) -> str:
    """Return `text` without what does not tell two rows apart: NFKC, case folded, blanks joined.

    >>> same_text("  Who  IS she?\\n") == same_text("who is she?")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def template_words(text: str) -> list[str]:
    """Return the words of `text` without case, digits and punctuation: what rows of one template share.

    >>> template_words("Add 3 apples, please!") == template_words("add 14 apples please")
    True
    """
    return _NOT_LETTERS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).split()


def name_of(text: str) -> str:
    """Return a short name that says nothing of `text`: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def draw(seed: int, purpose: str, name: str) -> str:
    """Return a sort key of `name`: a fixed random order for each seed and purpose, the same on every machine."""
    return hashlib.sha256(f"retrain-equivalence/{purpose}/v1\0{seed}\0{name}".encode()).hexdigest()
