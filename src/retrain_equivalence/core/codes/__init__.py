"""Every error code with its paragraph, gathered from one file per room; the verb `explain` prints it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

CODES: dict[str, str] = {}

for _module in iter_modules(__path__):
    for _code, _text in import_module(f"{__name__}.{_module.name}").CODES.items():
        CODES[_code] = f"{CODES[_code]} {_text}" if _code in CODES else _text
