"""`sssm listen`: keywords as they are said."""

import json
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from app.ending import asked_to_end, native_messages_hidden, reader_watch
from app.spotting import Model, Refractory, Threshold, Thresholds, load_spotter
from app.terminal import INPUT_FAILED, aligned, fail, refuse, say, shown, tell
from sssm.reason import reason_of

if TYPE_CHECKING:
    from app.display import Lines
    from app.listener import Listener
    from app.sources import Source

Device = Annotated[
    str | None,
    typer.Option(metavar="INDEX|NAME", help="Microphone, by its index, name or part of its name."),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="A recording, not the microphone; - for what a program writes to standard input "
        "(WAV, AU or OGG).",
    ),
]
PIPE = "-"


def listen(
    model: Model = "s4",
    threshold: Threshold = None,
    thresholds: Thresholds = None,
    refractory_ms: Refractory = None,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="List the microphones and end.")
    ] = False,
    device: Device = None,
    input_file: Input = None,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="A recording no faster than it was recorded.")
    ] = False,
    save_detections: Annotated[
        str | None, typer.Option(metavar="DIR", help="Keep the sound of each detection as WAV.")
    ] = None,
    on_detection: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Start this for each detection, without a shell: the event as JSON on its "
            "standard input, and as SSSM_KEYWORD, SSSM_SCORE, SSSM_START_S, SSSM_TIME_S, SSSM_AT.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Spot keywords in what the microphone hears, until Ctrl-C."""
    if real_time and input_file in (None, PIPE):
        refuse("--real-time is for --input with a file")
    with native_messages_hidden():
        if list_devices:
            _list_devices(as_json=as_json)
            return
        from app.clips import Clips
        from app.display import display
        from app.hooks import Hook
        from app.listener import Listener
        from sssm.weights import ModelFileError

        screen = display(as_json=as_json)
        try:
            hook = None if on_detection is None else Hook(on_detection, screen.note, screen.relay)
        except ValueError as error:
            refuse(str(error))
        spotter = load_spotter(model, threshold, thresholds, refractory_ms)
        try:
            clips = None if save_detections is None else Clips(save_detections)
        except OSError as error:
            fail(f"{save_detections}: {reason_of(error)}")
        with closing(open_source(device, input_file, real_time=real_time)) as source:
            try:
                listener = Listener(
                    source, spotter, screen, clips=clips, hook=hook, as_json=as_json
                )
            except ModelFileError as error:
                end = refuse if input_file is None else fail
                end(f"{source.name}: recorded at {source.sample_rate_hz} Hz; {error}")
            _run(listener, screen)


def open_source(device: str | None, input_file: str | None, *, real_time: bool) -> "Source":
    """The microphone, or the recording in its place.

    Raises:
        typer.Exit: there is none, or both are wanted, which one line has said.
    """
    from app.devices import MicrophoneError
    from app.microphone import Microphone
    from app.pipe import PipedSource
    from app.sources import RecordingSource
    from sssm.audio import AudioError

    if device is not None and input_file is not None:
        refuse("--device and --input: listen to one of them")
    try:
        if input_file == PIPE:
            return PipedSource()
        if input_file is not None:
            return RecordingSource(input_file, real_time=real_time)
        return Microphone(device)
    except (AudioError, MicrophoneError) as error:
        fail(str(error))


def _run(listener: "Listener", screen: "Lines") -> None:
    """Listen to the end, and leave with its exit code; the summary is the last line."""
    from app.devices import MicrophoneError
    from sssm.audio import AudioError
    from sssm.weights import ModelFileError

    failed = False
    with asked_to_end() as ending:
        with screen:
            try:
                listener.run(lambda: bool(ending), reader_watch())
            except (AudioError, MicrophoneError, ModelFileError) as error:
                screen.note(str(error))
                failed = True
            finally:
                listener.close()
        if listener.heard_s or not failed:
            tell(listener.summary)
    if ending.code:
        raise typer.Exit(ending.code)
    if failed or listener.failed:
        raise typer.Exit(INPUT_FAILED)


def _list_devices(*, as_json: bool) -> None:
    from app.devices import MicrophoneError, input_devices

    try:
        devices = input_devices()
    except MicrophoneError as error:
        fail(str(error))
    if not devices:
        tell("this machine has no input device")
    names = [shown(device.name) for device in devices]
    for device, name in zip(devices, names, strict=True):
        if as_json:
            say(json.dumps(asdict(device)))
            continue
        default = "default" if device.is_default else ""
        cells = [str(device.index), name, f"{device.sample_rate_hz} Hz", device.host_api, default]
        say(aligned(cells, [3, max(map(len, names)), 9, 12, 0]))
