"""The command `sssm`.

Each command imports what is heavy (torch, numpy, soundfile) when it runs: help answers at once.
Exit codes: 0 done; 1 some input or the work failed; 2 wrong usage, unknown or damaged model; 130
Ctrl-C.  A reader that closes the pipe early ends the command in silence with 0.
"""

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from app import terminal
from app.bench import bench
from app.calibrate import calibrate
from app.classify import classify
from app.demo import demo
from app.export import export
from app.listen import listen
from app.models import info, models
from app.record import record
from app.scan import scan
from sssm.interrupt import CTRL_C, heed_ctrl_c
from sssm.reason import reason_of

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cli.command()(bench)
cli.command()(calibrate)
cli.command()(classify)
cli.command()(demo)
cli.command()(export)
cli.command()(info)
cli.command()(listen)
cli.command()(models)
cli.command()(record)
cli.command()(scan)


def _version(wanted: bool) -> None:
    if wanted:
        import sssm

        terminal.say(f"sssm {sssm.__version__}")
        raise typer.Exit


@cli.callback()
def _cli(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Spot keywords in raw audio with state-space models."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    heed_ctrl_c()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not every screen can show every file's name
            stream.reconfigure(errors="backslashreplace")
    try:
        cli()
    except SystemExit as leaving:
        # Typer calls a closed pipe a failure; to the user of `| head -1` it is none.
        if not isinstance(leaving.__context__, BrokenPipeError):
            raise
        terminal.forget_output()
        raise SystemExit(0) from None
    except KeyboardInterrupt:  # before or after a command, which ends by itself
        raise SystemExit(CTRL_C) from None
    except OSError as error:
        # All that is read or written has a name, but for the answer, and a folder that was removed.
        nameless = "this folder" if isinstance(error, FileNotFoundError) else "standard output"
        terminal.tell(f"{error.filename or nameless}: {reason_of(error)}")
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:  # what cannot be written now cannot be at the end either
            terminal.forget_output()
        raise SystemExit(terminal.INPUT_FAILED) from None


if __name__ == "__main__":
    main()
