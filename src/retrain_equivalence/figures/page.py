"""The page shell: one self-contained HTML file from sections, shared by the study's report and the theory's page.

Design. Text from outside meets three walls: Jinja2's autoescape, a `finalize` that makes every unprintable character
visible, and a content security policy that allows one style sheet by its hash and nothing else. There is no script. A
page holds no clock and no path of this machine, so equal contents are equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from retrain_equivalence.core.errors import MachineError, visible
from retrain_equivalence.figures.elements import Section, fitted
from retrain_equivalence.figures.palette import TOKENS

_SHELL = "shell.html.j2"


def render_page(template: str, *, sections: Sequence[Section], everything_is_in: str, **values: Any) -> str:
    """Return the text of a page.

    Args:
        template: Jinja2 source that extends `shell.html.j2` and fills its blocks: title, skip, header, contents,
            answer, footer.
        sections: what follows the answer; their tables are cut to what a browser can hold.
        everything_is_in: where a reader finds the rows that were cut, as the end of a sentence.
        **values: what the template's blocks name.
    """
    style = _style()
    environment = Environment(
        loader=DictLoader({_SHELL: _text(_SHELL)}), autoescape=True, undefined=StrictUndefined, finalize=_finalize,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.from_string(template).render(
        sections=fitted(sections),
        everything_is_in=everything_is_in,
        style=Markup(style),  # noqa: S704 the package's own style sheet
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        svg=_svg,
        lines=_lines,
        **values,
    )


def write_page(path: Path, page: str) -> Path:
    """Write a page, whole or not at all.

    Raises:
        MachineError: E-ENV-41 if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(page.encode())
        temporary.replace(path)
    except OSError as error:
        raise MachineError.of(
            "E-ENV-41", str(path), f"cannot be written ({error.strerror})", "check space and permissions"
        ) from None
    return path


def _finalize(value: object) -> object:
    return value if isinstance(value, Markup) else visible(str(value))


def _svg(drawn: str) -> Markup:
    # Drawings are this package's own: their text was escaped by the XML writer.
    return Markup(drawn)  # noqa: S704


def _lines(text: str) -> list[str]:
    """Return the lines of a preformatted text, so that only their ends are kept as line ends."""
    return text.rstrip("\n").split("\n")


def _text(name: str) -> str:
    return (files("retrain_equivalence.figures") / "templates" / name).read_text(encoding="utf-8")


def _style() -> str:
    light = "".join(f"--{token.name}:{token.light};" for token in TOKENS)
    dark = "".join(f"--{token.name}:{token.dark};" for token in TOKENS)
    themes = (
        f":root{{{light}--page:#ffffff;--panel:#f6f7f9;}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}--page:#14181d;--panel:#1c2229;}}}}"
    )
    return themes + _text("style.css")
