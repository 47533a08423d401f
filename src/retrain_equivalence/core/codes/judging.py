"""What each code of `judge` means, at length."""

from __future__ import annotations

CODES: dict[str, str] = {
    "E-DATA-140": (
        "A log or a table of runs cannot be read: it is not there, may not be opened, is a folder without *_EVAL.json "
        "in or below it, or is no file of a known kind (.json for logs, .csv or .parquet for tables)."
    ),
    "E-DATA-141": (
        "A log is not JSON: it was cut off while it was written or copied, or a name appears twice in one object. NaN "
        "and Infinity, which Python writes for collapsed models, are read as undefined values and counted."
    ),
    "E-DATA-142": (
        "The file is JSON but no evaluation log: that is an object from metrics to objects with an agg_value and, for "
        "metrics of single rows, a value_by_index. The _SUMMARY.json beside a log has no items; name the _EVAL.json."
    ),
    "E-DATA-143": (
        "The metric is not in the file. The message lists what is there; forget_quality is computed anew from the "
        "items of forget_truth_ratio, so that metric must be there in the logs of the unlearned and of the retrained "
        "models."
    ),
    "E-DATA-144": (
        "A value in a log or a table is not a number, or an item has no field of the wanted name. Leave a cell of a "
        "table empty (null in JSON) where the value is undefined; metric:field names another field of a log's items."
    ),
    "E-DATA-145": (
        "Two runs were evaluated on different items, for example on forget05 and forget10, so that their laws cannot "
        "be compared item by item. Evaluate all models on the same rows."
    ),
    "E-DATA-146": (
        "A table of runs lacks a column or a cell, or names a group that is none of unlearned, retrained and before. "
        "docs/evaluating-unlearning.md has the layout."
    ),
    "E-DATA-147": (
        "Something is there twice: the same item of the same run in a table, or two logs of one group with the same "
        "bytes. One evaluation given twice would pass for two runs. A stale cached evaluation is the usual cause."
    ),
}
