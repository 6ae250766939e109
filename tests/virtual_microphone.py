"""A microphone without hardware: a PulseAudio of its own whose default source is a sink's monitor.

What `play` plays into the sink, a program that listens to the default device hears bit for bit.
A test that asks for it is skipped where a package is missing, and only then.
"""

import ctypes.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

PACKAGES = "pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins"
RATE_HZ = 44_100  # what ALSA's plugin calls the device's own rate: nothing is resampled
LIMIT_S = 120  # of every wait: the machine may be busy


class VirtualMicrophone:
    """The sound server that runs in `folder`, and what can happen to its microphone."""

    def __init__(self, folder: Path):
        self._folder = folder
        socket = folder / "native"
        self.environment = {
            **os.environ, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder),
            "PULSE_RUNTIME_PATH": str(folder), "PULSE_SERVER": f"unix:{socket}",
        }  # fmt: skip
        script = folder / "virtual.pa"
        script.write_text(
            f"load-module module-native-protocol-unix socket={socket} auth-anonymous=1\n"
        )
        self._processes: list[subprocess.Popen[bytes]] = []
        self._server = self._start(
            "pulseaudio", "-n", "-F", str(script), "--daemonize=no", "--exit-idle-time=-1",
            "--use-pid-file=no",
        )  # fmt: skip
        self._silence: subprocess.Popen[bytes] | None = None
        wait_for(lambda: self._call("pactl", "info", check=False) == 0, "a sound server")
        self.plug_in()

    def plug_in(self) -> None:
        """Make the microphone exist; it hears silence."""
        self._call(
            "pactl", "load-module", "module-null-sink", "sink_name=mic", f"rate={RATE_HZ}",
            "channels=1",
        )  # fmt: skip
        self._call("pactl", "set-default-sink", "mic")
        self._call("pactl", "set-default-source", "mic.monitor")
        # A null sink's monitor is mute while nothing plays into it.
        self._silence = self._start(
            "pacat", f"--rate={RATE_HZ}", "--channels=1", "--format=s16le", "--latency-msec=20",
            "/dev/zero",
        )  # fmt: skip

    def unplug(self) -> None:
        self._call("pactl", "unload-module", "module-null-sink")
        self._end(self._silence)

    def suspend(self, *, suspended: bool) -> None:
        """Let the microphone stand still, which tells nobody anything."""
        self._call("pactl", "suspend-sink", "mic", str(int(suspended)))

    def play(self, path: Path) -> None:
        """Play a recording, which begins `after_silence`, to its end."""
        self.wait_for_end(self.start_playing(path))

    def start_playing(self, path: Path) -> "subprocess.Popen[bytes]":
        return self._start("paplay", str(path))

    def wait_for_end(self, player: "subprocess.Popen[bytes]") -> None:
        assert player.wait(LIMIT_S) == 0
        self._processes.remove(player)

    def close(self) -> None:
        while self._processes:
            self._end(self._processes[-1])

    def _call(self, *command: str, check: bool = True) -> int:
        done = subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=LIMIT_S, check=check,
        )  # fmt: skip
        return done.returncode

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        """In the background, its output in a file: it would hold a pipe of ours open."""
        with open(self._folder / f"{command[0]}.log", "ab") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def _end(self, process: subprocess.Popen[bytes] | None) -> None:
        if process in self._processes:
            self._processes.remove(process)
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Until the condition holds."""
    until_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until_s, f"waited {limit_s} s for {what}"
        time.sleep(0.02)


def after_silence(samples: np.ndarray) -> np.ndarray:
    """The first milliseconds of what is played may fall into what the sink has already given."""
    return np.concatenate([np.zeros(RATE_HZ // 4, samples.dtype), samples])


def missing() -> list[str]:
    """What the virtual microphone needs and this machine lacks."""
    lacks = [name for name in ("pulseaudio", "pactl", "pacat", "paplay") if not shutil.which(name)]
    if ctypes.util.find_library("portaudio") is None:
        lacks.append("libportaudio")
    plugin = "alsa-lib/libasound_module_pcm_pulse.so"
    if not any(Path("/usr").glob(f"lib*/{plugin}")) and not any(
        Path("/usr/lib").glob(f"*/{plugin}")
    ):
        lacks.append("ALSA's plugin for PulseAudio")
    return lacks


@pytest.fixture(scope="module")
def virtual_microphone() -> Iterator[VirtualMicrophone]:
    if lacks := missing():
        pytest.skip(f"no {', no '.join(lacks)}: apt-get install {PACKAGES}")
    # Not pytest's folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="sssm-", dir="/tmp") as folder:
        microphone = VirtualMicrophone(Path(folder))
        try:
            yield microphone
        finally:
            microphone.close()
