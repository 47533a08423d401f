"""Explanations of the codes that `records` raises."""

CODES: dict[str, str] = {
    "E-DATA-51": (
        "Two rows of the results table say what the same probe measured on the same item of the same state. Averages "
        "would count it twice, so the table is refused. It happens when segments of two runs are stacked by hand; keep "
        "one row of each."
    ),
    "E-DATA-59": (
        "The results table is no Parquet file, is cut short, or holds a column of another type than the documented one."
    ),
    "E-DATA-52": (
        "A results table lacks columns of the documented layout, so it was written by another program or another "
        "version. `docs/results.md` lists the columns and their types."
    ),
    "E-DATA-54": (
        "A column that says what a row is (history, probe, item, against, unit, status, ...) is null. Unused text "
        "columns hold an empty text; null is only allowed in 'value'."
    ),
}
