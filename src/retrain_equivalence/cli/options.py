"""The options that several verbs share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Sources = Annotated[
    list[str],
    typer.Argument(help="Study file(s), FILE.py:FUNCTION, or the name of a bundled study.", show_default=False),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override one field; may be repeated.")
]
StorePath = Annotated[
    Path | None, typer.Option("--store", help="Where states are kept [RETRAIN_EQUIVALENCE_STORE, else the user cache].")
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where data sets are looked for first [RETRAIN_EQUIVALENCE_DATA].")
]
NoRebuild = Annotated[
    bool, typer.Option("--no-rebuild", help="Stop at a damaged object instead of setting it aside and making it again.")
]
AllowNetwork = Annotated[
    bool, typer.Option("--allow-network-fs", help="Accept a store on a network file system, which may lose commits.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Results folder [results/<study>].")]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the hub.")]
Device = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="cpu or cuda.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Worker processes; 0 works in this one [one per core].")
]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file that registers objectives; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Folder = Annotated[Path, typer.Argument(help="A results folder.", show_default=False)]
