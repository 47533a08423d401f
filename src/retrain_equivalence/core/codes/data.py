"""What the problems of data mean: one paragraph for each code that `data` raises."""

from __future__ import annotations

CODES: dict[str, str] = {
    "E-DATA-01": "A row is not JSON. Each line of a `.jsonl` file, and each element of a `.json` array, is one "
    "JSON object; the message names the column where reading stopped. The line number counts blank "
    "lines.",
    "E-DATA-02": "A row is JSON but not an object: an array, a number, a text or null. Rows have named fields.",
    "E-DATA-03": "A field that the data set needs is not in a row (or a column not in a table). The message lists "
    "the fields that are there, except for sensitive sets; for your own rows, the study can name "
    "other fields.",
    "E-DATA-04": "A named data set has a field that it is not known to have, so the file is perhaps another one. "
    "Your own rows (`jsonl:`) may have any further fields.",
    "E-DATA-05": "A field holds another type than text (for an id: text or a whole number). Numbers are not "
    "turned into text silently, because 1.0 and 1 would become different rows.",
    "E-DATA-06": "A field is null. Fill it or leave the row out: there is no default answer.",
    "E-DATA-07": "A field shows nothing: it is empty, or holds only blanks or zero-width characters. Nothing "
    "could be trained on or scored.",
    "E-DATA-08": "A name appears twice in one row, or in a table's header. Most readers keep the last one silently.",
    "E-DATA-09": "NaN or Infinity stands in a row. Python writes and reads them, but they are not JSON.",
    "E-DATA-10": "A byte is not UTF-8. The message names the byte and its column; save the file as UTF-8.",
    "E-DATA-11": "The file looks like UTF-16 or UTF-32: convert it to UTF-8. A UTF-8 byte order mark at the "
    "beginning is accepted and noted (warning).",
    "E-DATA-12": "A `\\ud800`-like escape stands alone: half of a surrogate pair is not a character and cannot be "
    "written to any file.",
    "E-DATA-13": "A text holds a control character (NUL, escape, ...). Tab, line feed and carriage return are "
    "allowed; all others can act in a terminal and are almost always damage.",
    "E-DATA-14": "The file ends inside a row: it was probably not written or fetched completely.",
    "E-DATA-15": "A row nests arrays or objects deeper than 32 levels.",
    "E-DATA-16": "A row, a field or a file is larger than its limit: 1 MB a row, 128 KiB a CSV field, 1 GB a "
    "file, 256 MB for the unpacked corpus.",
    "E-DATA-20": "A conversation is not one user message followed by one assistant message. Rows have one "
    "question and one answer; a system prompt belongs to the model.",
    "E-DATA-21": "Two rows have the same id. Ids name rows in results, so each must be unique.",
    "E-DATA-22": "Two rows are equal. They would be trained on twice, and one could be held out while its twin is "
    "trained on. `allow_duplicates: true` accepts them (warning).",
    "E-DATA-23": "Warning: two rows differ only in case, blanks or compatibility forms.",
    "E-DATA-24": "The source has no rows.",
    "E-DATA-25": "More rows were asked for than there are; or, as a warning, nothing could be held out because "
    "all rows are near duplicates of each other.",
    "E-DATA-26": "A row that is to be forgotten has the question of another stage's training row. The retrain "
    "oracle would then have seen what it must not know, and every verdict would be wrong.",
    "E-DATA-27": "A held-out row has the question of a training row of another stage, or equals a training row of "
    "its own stage: it would measure memory instead of generalisation.",
    "E-DATA-28": "Warning: all responses are identical. Perhaps the wrong field is mapped.",
    "E-DATA-29": "A table cannot be read: a ragged or malformed CSV row (file:line:column), a Parquet column that "
    "is not text, damaged or oversized data.",
    "E-DATA-30": "A file is missing, is not a regular file (directory, FIFO, device, socket), cannot be read, or "
    "is a link that leads out of its folder; or the data directory itself is missing.",
    "E-DATA-31": "The file changed while it was read. What is trained on must be what was hashed.",
    "E-DATA-32": "The file is an archive or compressed. Only the named corpus is read compressed; unpack all others.",
    "E-DATA-33": "The source file is not the one that the study was locked with.",
    "E-DATA-41": "`row_id` names the field of the prompt or the response. Ids are shown in results and messages; "
    "texts of sensitive sets must never be.",
    "E-DATA-43": "A data set in the store does not have the rows that its digest was made of.",
    "E-DATA-44": "The suffix of a data file is not known; it says the format: .jsonl, .json, .parquet or .csv.",
    "E-DATA-45": "A part of TOFU does not have its published number of rows. Authors, the clusters that are held "
    "out whole, are found by position, so a shortened file would mix them.",
    "E-DATA-46": "A GSM8K solution has no last line `#### n`, so its answer could not be scored.",
    "E-ENV-08": "Something is not on this machine and cannot be fetched: the hub is forbidden (`--offline`), "
    "cannot be reached, has no such revision, or has not granted you access. `data/README.md` says "
    "where to put each data file; a model is found in the hub's cache, or given by its folder (`model.path`).",
}
"""Code -> what it means and why it is checked."""
