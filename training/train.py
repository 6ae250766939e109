"""Train a keyword model from raw samples.

    python -m training.train --data ROOT --preset NAME --out RUN [KEY=VALUE ...]

RUN/model.safetensors is the result.  Ctrl-C saves and stops; the same command goes on from there.
Several devices and hosts: `torchrun --nproc-per-node N -m training.train` with the same options.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from sssm.interrupt import CTRL_C
from sssm.reason import reason_of
from training.console import INPUT_FAILED, WRONG_USAGE
from training.recipe import PRESETS, preset

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Folder of recordings.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; one that exists is resumed.")],
    preset_name: Annotated[
        str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")
    ] = "kws12-s4",
    init: Annotated[
        str | None,
        typer.Option(help="Model to start from, a name or a file; other labels get a new head."),
    ] = None,
    download: Annotated[bool, typer.Option(help="Fetch Speech Commands into the folder.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", help="What to change in the preset; training/recipe.py has all."
        ),
    ] = None,
) -> None:
    """Train a keyword model from raw samples."""
    from sssm.weights import find_model, read_card

    try:
        recipe, start = preset(preset_name), None
        if init is not None:
            start = find_model(init)
            recipe = recipe.like(read_card(start).config)
        recipe = recipe.override(settings or [])
    except ValueError as error:
        raise _failed(error, WRONG_USAGE) from None

    from training.loop import DivergedError, Interrupted, run

    try:
        run(recipe, data=data, out=out, init=start, download=download)
    except ValueError as error:
        raise _failed(error, WRONG_USAGE) from None
    except (DivergedError, OSError) as error:
        raise _failed(error, INPUT_FAILED) from None
    except Interrupted as stop:
        if os.environ.get("RANK", "0") == "0":
            typer.echo(f"{stop}; the same command goes on from there", err=True)
        raise typer.Exit(CTRL_C) from None
    except KeyboardInterrupt:
        raise typer.Exit(CTRL_C) from None


def _failed(error: Exception, code: int) -> typer.Exit:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {where}{reason_of(error)}", err=True)
    else:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
    return typer.Exit(code)


if __name__ == "__main__":
    app()
