"""Input devices, as PortAudio knows them."""

import contextlib
from dataclasses import dataclass
from types import ModuleType

INSTALL = "install PortAudio: apt-get install libportaudio2, or brew install portaudio"


class MicrophoneError(Exception):
    """No sound can be had; one line says why and what to do."""


@dataclass(frozen=True)
class InputDevice:
    """What PortAudio says of a device that can record."""

    index: int
    name: str
    host_api: str
    channels: int
    sample_rate_hz: int
    is_default: bool


def input_devices() -> list[InputDevice]:
    """All that can record, in PortAudio's order.

    Raises:
        MicrophoneError: there is no PortAudio.
    """
    sounddevice = portaudio()
    try:
        apis = sounddevice.query_hostapis()
        default = int(sounddevice.default.device[0])
        return [
            InputDevice(
                index, device["name"], apis[device["hostapi"]]["name"],
                device["max_input_channels"], round(device["default_samplerate"]), index == default,
            )
            for index, device in enumerate(sounddevice.query_devices())
            if device["max_input_channels"] > 0
        ]  # fmt: skip
    except sounddevice.PortAudioError as error:
        raise MicrophoneError(f"no list of devices: {reason(error)}") from None


def find_device(wanted: str | None, devices: list[InputDevice]) -> InputDevice:
    """The device of that index, name or part of a name; the default, or the first, for None.

    Of one that Windows lists several times, by each way to it, the first.

    Raises:
        MicrophoneError: there is none, or a part of a name fits several.
    """
    if not devices:
        raise MicrophoneError("no microphone: this machine has no input device")
    if wanted is None:
        return next((device for device in devices if device.is_default), devices[0])
    fits = [device for device in devices if wanted == str(device.index)]
    fits = fits or [device for device in devices if wanted == device.name]
    fits = fits or [device for device in devices if wanted.lower() in device.name.lower()]
    if _is_one(fits):
        return fits[0]
    listed = ", ".join(f"{device.index} {device.name!r}" for device in fits or devices)
    said = "fits several devices" if fits else "is no input device; there are"
    raise MicrophoneError(f"--device {wanted!r} {said}: {listed}")


def _is_one(fits: list[InputDevice]) -> bool:
    """Whether these are one device, by several host APIs, some of which cut its name off."""
    if not fits:
        return False
    ways = {device.host_api for device in fits}
    name = min((device.name for device in fits), key=len)
    return len(ways) == len(fits) and all(device.name.startswith(name) for device in fits)


def find_again(lost: InputDevice, devices: list[InputDevice]) -> InputDevice:
    """The device that was lost; its index, and its number in ALSA's name, may be others now.

    Raises:
        MicrophoneError: it is not back.
    """
    same = [device for device in devices if _model(device) == _model(lost)]
    if not same:
        raise MicrophoneError(f"{lost.name} is not back")
    return next((device for device in same if device.index == lost.index), same[0])


def portaudio() -> ModuleType:
    """The module that speaks with PortAudio.

    Raises:
        MicrophoneError: it is not installed, or PortAudio is not.
    """
    try:
        import sounddevice
    except ImportError:
        raise MicrophoneError("the microphone needs a package: pip install sounddevice") from None
    except OSError:
        raise MicrophoneError(f"no microphone without PortAudio; {INSTALL}") from None
    except Exception as error:  # its own, whose class cannot be had: the module did not load
        raise MicrophoneError(f"PortAudio does not start: {reason(error)}") from None
    return sounddevice


def start_anew() -> None:
    """Make PortAudio look again at which devices and servers there are; no stream may be open.

    Raises:
        MicrophoneError: it does not start.
    """
    sounddevice = portaudio()
    with contextlib.suppress(sounddevice.PortAudioError):  # where the last try went no further
        sounddevice._terminate()
    try:
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise MicrophoneError(reason(error)) from None


def _model(device: InputDevice) -> tuple[str, str]:
    return device.host_api, device.name.partition(" (hw:")[0]


def reason(error: BaseException | None) -> str:
    """PortAudio's own words, without its codes."""
    said = str(error.args[0]) if error is not None and error.args else str(error)
    said = said.removeprefix("Error opening RawInputStream: ").partition(" [")[0]
    said = said.strip().rstrip(".")
    return said[:1].lower() + said[1:]
