"""The command line: thin verbs over the Python interface. stdout is the answer, stderr is for people.

Exit codes: 0 done; 1 a bug of ours; 2 usage; 3 study or plan; 4 data or model refused; 5 store; 6 machine; 7 busy;
8 finished, but something failed; 9 a verdict asked for with --fail-on was not met; 129/130/143 stopped by
HUP/INT/TERM with everything saved.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from retrain_equivalence.cli import (
    cite,
    compare,
    doctor,
    explain,
    init,
    listing,
    plan,
    report,
    run,
    schema,
    status,
    store,
    validate,
)
from retrain_equivalence.core.errors import InstrumentError

app = typer.Typer(
    name="retrain-equivalence",
    help="Does an unlearned language model behave like one retrained without the data?",
    epilog="Exit codes: 0 done, 2 usage, 3 study, 4 data or model, 5 store, 6 machine, 7 busy, 8 partly failed, "
    "9 --fail-on not met, 129/130/143 stopped with everything saved, 1 a bug.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
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
app.command("status")(status.status)
app.command("list")(listing.listing)
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.command("explain")(explain.explain)
app.command("schema")(schema.schema)
app.command("cite")(cite.cite)
app.add_typer(store.app, name="store")


def main() -> None:
    """Run the command line; every error of ours is one line on stderr and a documented exit code."""
    # --debug is accepted anywhere, since it is typed after something went wrong.
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app(args=arguments, prog_name="retrain-equivalence")
    except InstrumentError as error:
        if debug:
            traceback.print_exc()
        for line in error.lines():
            print(line, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our answer has had enough; closing quietly is what a viewer expects.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        print(
            f"error[E-BUG]: {type(error).__name__}: {error}. This is a bug of ours. Fix: run again with --debug and "
            "report what it prints",
            file=sys.stderr,
        )
        sys.exit(1)
