"""How often the tests, intervals and verdicts of the package err: simulated studies with planted truth."""
