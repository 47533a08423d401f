"""The command line: thin verbs over the Python interface. stdout is the answer, stderr is for people.

Exit codes: 0 done; 1 a bug of ours; 2 usage; 3 study or plan; 4 data or model refused; 5 store; 6 machine; 7 busy;
8 finished, but something failed; 9 a verdict asked for with --fail-on was not met; 129/130/143 stopped by
HUP/INT/TERM with everything saved.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from retrain_equivalence.cli import (
    cite,
    compare,
    doctor,
    explain,
    init,
    judge,
    listing,
    plan,
    report,
    run,
    schema,
    status,
    store,
    theory,
    trace,
    validate,
)
from retrain_equivalence.core.errors import InstrumentError, Problem, visible

USAGE, BUG = 2, 1
STDOUT = 1

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""The framework's base of everything typed wrongly; it has no public name of its own."""

app = typer.Typer(
    name="retrain-equivalence",
    help="Does an unlearned language model behave like one retrained without the data?",
    epilog="Exit codes: 0 done, 2 usage, 3 study, 4 data or model, 5 store, 6 machine, 7 busy, 8 partly failed, "
    "9 --fail-on not met, 129/130/143 stopped with everything saved, 1 a bug.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # defaults stand in square brackets, which markup would swallow
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options before any verb."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("retrain-equivalence"))
        raise typer.Exit


app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("validate")(validate.validate)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("judge", cls=judge.Groups)(judge.judge)
app.command("trace")(trace.trace)
app.command("status")(status.status)
app.command("list")(listing.listing)
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.command("explain")(explain.explain)
app.command("schema")(schema.schema)
app.command("cite")(cite.cite)
app.add_typer(store.app, name="store")
app.add_typer(theory.app, name="theory")


def main() -> None:
    """Run the command line and exit; every error of ours is one line on stderr and a documented exit code."""
    # --debug is accepted anywhere, since it is typed after something went wrong.
    words = [word for word in sys.argv[1:] if word != "--debug"]
    sys.exit(_exit_code(words, debug="--debug" in sys.argv[1:]))


def _exit_code(words: Sequence[str], *, debug: bool) -> int:
    try:
        # Not standalone, or the framework would print usage errors as a drawing.
        code = app(args=list(words), prog_name="retrain-equivalence", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except InstrumentError as error:
        if debug:
            traceback.print_exc()
        return _refused(error, as_json="--json" in words)
    except (BrokenPipeError, SystemExit):
        # Whoever read our answer has had enough (the framework itself exits in this case only). What is still buffered
        # must not raise again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        return 0
    except UsageError as error:
        return _usage(error)
    except Exception as error:
        if debug:
            raise
        found = Problem(
            code="E-BUG", place="", message=f"{type(error).__name__}: {error}. This is a bug of ours",
            fix="run again with --debug and report what it prints",
        )  # fmt: skip
        print(found.line(), file=sys.stderr)
        return BUG


def _refused(error: InstrumentError, *, as_json: bool) -> int:
    for line in error.lines():
        print(line, file=sys.stderr)
    if as_json:
        from retrain_equivalence.cli.common import print_json
        from retrain_equivalence.core.identity import plain

        print_json({"errors": [plain(problem) for problem in error.problems]})
    return error.exit_code


def _usage(error: Exception) -> int:
    text = str(error.format_message()).strip()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    verb = context.command_path if context else "retrain-equivalence"
    if "\n" in text:  # no verb at all: the message is the help
        print(text, file=sys.stderr)
    elif text:
        stop = "" if text.endswith((".", "?", "!")) else "."
        print(f"error: {visible(text)}{stop} Fix: see {verb} --help", file=sys.stderr)
    return USAGE
