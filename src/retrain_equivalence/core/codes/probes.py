"""Explanations of the codes that `probes` raises."""

CODES: dict[str, str] = {
    "E-DATA-92": (
        "The texts of a prediction probe are read again from the data wherever they are needed, and here they are not "
        "those that the probe's cells were chosen for. The source was edited while the study ran: run it again."
    ),
    "E-DATA-90": (
        "A probe scores rows of a stage, and the split that it asks for is empty. This happens when `split: held_out` "
        "is asked of a data set whose `held_out` is 0, or whose rows are so few that no whole cluster was kept out. "
        "Raise `held_out`, take more `rows`, or probe the training rows."
    ),
    "E-DATA-91": (
        "An `accuracy` probe reads the number after `#### ` in the reference answers, and some answers of this stage "
        "have none. Accuracy is defined for word problems that end with `#### n`; use `answer_logprob` or `exact_match`"
        " for other data, or correct the rows that are named."
    ),
}
