"""The number that an answer ends with: the `#### n` convention of GSM8K, read as lm-evaluation-harness reads it."""

from __future__ import annotations

import re

STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")


def normalise(text: str) -> str:
    """Return `text` without `,`, `$`, everything up to the last `#### `, and one trailing `.`, in lower case.

    >>> normalise("so it is #### $1,234.")
    '1234'
    """
    bare = text.replace(",", "").replace("$", "")
    return bare.rpartition("#### ")[2].removesuffix(".").strip().lower()


def strict(text: str) -> str | None:
    """Return the normalised number after the first `#### `, or None if there is none.

    >>> strict("2 + 2 = 4\\n#### 4"), strict("the answer is 4")
    ('4', None)
    """
    found = STRICT.search(text)
    return normalise(found[1]) if found else None


def flexible(text: str) -> str | None:
    """Return the normalised last number anywhere in `text`, or None if there is none.

    As in the harness, a last run of punctuation such as `...` counts as a match and is wrong.

    >>> flexible("it is 3, no, $4.00 dollars")
    '4.00'
    """
    found = [match[0] for match in FLEXIBLE.finditer(text)]
    return normalise(found[-1]) if found else None
