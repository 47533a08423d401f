"""Thinning: a line of many points drawn with few, without losing its extremes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def thinned(frame: pd.DataFrame, pixels: int) -> pd.DataFrame:
    """Return `frame` with at most four rows per pixel column: the first, lowest, highest and last of each.

    Args:
        frame: one series, with `x` and `y`, in drawing order.
        pixels: width of the drawing.

    Returns:
        The frame itself if it has at most four rows per pixel; otherwise a subset in the same order, whose line covers
        the same pixels: within a column only the entry, the exit and the extremes can be seen.
    """
    import numpy as np

    if len(frame) <= 4 * pixels:
        return frame
    rows = frame.reset_index(drop=True)
    span = rows["x"].max() - rows["x"].min() or 1.0
    column = np.floor((rows["x"] - rows["x"].min()) / span * (pixels - 1)).astype(int)
    groups = rows["y"].groupby(column.to_numpy())
    extremes = [groups.idxmin(skipna=True).dropna(), groups.idxmax(skipna=True).dropna()]
    ends = rows.index.to_series().groupby(column.to_numpy())
    kept = sorted({int(i) for part in (*extremes, ends.min(), ends.max()) for i in part})
    return rows.loc[kept]
