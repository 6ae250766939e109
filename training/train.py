"""Train a keyword model from raw samples.

    python -m training.train --data ROOT --preset NAME --out RUN [KEY=VALUE ...]

RUN/model.safetensors is the result.  Ctrl-C saves and stops; the same command goes on from there.
Under `torchrun` the same command uses several devices and hosts.
"""

from pathlib import Path
from typing import Annotated

import typer

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
        Path | None, typer.Option(help="Model to start from, with a new head.")
    ] = None,
    download: Annotated[bool, typer.Option(help="Fetch Speech Commands into the folder.")] = False,
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE")] = None,
) -> None:
    """Train a keyword model from raw samples."""
    from training.loop import Interrupted, run

    try:
        recipe = preset(preset_name).override(settings or [])
        run(recipe, data=data, out=out, init=init, download=download)
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except Interrupted as stop:
        typer.echo(f"stopped at step {stop.step}; the same command goes on from there", err=True)
        raise typer.Exit(130) from None


if __name__ == "__main__":
    app()
