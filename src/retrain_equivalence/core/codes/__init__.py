"""Every error code with its paragraph, gathered from one file per room; the verb `explain` prints it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

CODES: dict[str, str] = {}

for _module in iter_modules(__path__):
    for _code, _text in import_module(f"{__name__}.{_module.name}").CODES.items():
        # A code has one meaning; a second entry would let one of the two rooms explain the other's errors.
        if _code in CODES:
            raise ValueError(f"{_code} is explained twice, the second time in {_module.name}.py")
        CODES[_code] = _text
