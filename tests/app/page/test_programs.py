"""What programs use: `/classify`, `/scan`, the example client, and the command itself."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import Status
from page_server import clip_path, serving
from websockets.sync.server import serve

from app.page.server import bind
from sssm.classifier import Classifier
from sssm.spotter import KeywordSpotter

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "assets/examples/websocket_client.py"
# Of the client's own threads, which end with the process.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def served():
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def client(served):
    return Client(served.url, verbose=False, analytics_enabled=False)


def test_endpoints_are_named_and_documented(client):
    described = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(described) == {"/classify", "/scan"}
    names = {
        path: [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        for path, endpoint in described.items()
    }
    assert names == {"/classify": ["file", "model"], "/scan": ["file", "model", "sensitivity"]}
    assert described["/scan"]["description"].startswith("Find keywords in a recording")


def test_classify(client):
    answer = client.predict(handle_file(clip_path("left")), "s4", api_name="/classify")
    expected = Classifier.load("s4").classify(clip_path("left"))
    assert answer["label"] == "left"
    assert answer["scores"] == pytest.approx(expected.scores, abs=1e-6)
    assert answer["duration_s"] == 1


def test_scan(client):
    answer = client.predict(handle_file(clip_path("left")), "s4", 0, api_name="/scan")
    x, rate = clip_path("left"), 16_000
    (event,) = KeywordSpotter.load("s4").stream(rate).push(soundfile.read(x, dtype="float32")[0])
    assert answer["message"] == ""
    assert answer["duration_s"] == 1
    (found,) = answer["events"]
    assert found["keyword"] == "left"
    assert found["time_s"] == event.time_s
    assert found["score"] == pytest.approx(event.score, abs=1e-6)


@pytest.mark.parametrize(
    ("path", "model", "line"),
    [
        (
            __file__,
            "s4",
            "test_programs.py: not audio that can be read: format not recognised",
        ),
        (clip_path("left"), "/etc/passwd", "no model '/etc/passwd' here (models: s4"),
        (None, "s4", "no file"),
    ],
)
def test_what_is_wrong_is_one_line(client, path, model, line):
    for name, more in (("/classify", ()), ("/scan", (0,))):
        with pytest.raises(AppError) as error:
            client.predict(path and handle_file(path), model, *more, api_name=name)
        assert str(error.value).startswith(line)
        assert "\n" not in str(error.value)


def named(path: str) -> dict:
    """A file that was not uploaded, as whoever knows the protocol may name it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def test_only_what_was_uploaded_is_heard(served, tmp_path):
    private = tmp_path / "private.flac"
    private.write_bytes(Path(clip_path("left")).read_bytes())
    for path in (str(private), "/no/such/file", "http://127.0.0.1/a.wav", "file:///etc/hostname"):
        asked = httpx.post(
            f"{served.url}/gradio_api/call/scan", json={"data": [named(path), "s4", 0]}
        )
        answer = httpx.get(f"{served.url}/gradio_api/call/scan/{asked.json()['event_id']}")
        assert "event: error" in answer.text
        assert "keyword" not in answer.text


def test_two_that_send_the_same_recording_do_not_take_it_from_one_another(served):
    recording = {"files": ("left.flac", Path(clip_path("left")).read_bytes())}
    uploads = [
        httpx.post(f"{served.url}/gradio_api/upload", files=recording).json()[0] for _ in range(2)
    ]
    for path in uploads:
        asked = httpx.post(
            f"{served.url}/gradio_api/call/classify", json={"data": [named(path), "s4"]}
        )
        answer = httpx.get(f"{served.url}/gradio_api/call/classify/{asked.json()['event_id']}")
        assert '"label": "left"' in answer.text
        assert not os.path.exists(path)


def test_the_example_client(served):
    command = [sys.executable, CLIENT, clip_path("stop")]
    answer = subprocess.run(
        [*command, served.socket], capture_output=True, text=True, check=True, timeout=300
    )
    assert answer.stdout.split()[2] == "stop"
    assert len(re.findall(r"^.+$", CLIENT.read_text(), re.MULTILINE)) <= 22


def test_the_example_client_reads_while_it_sends(tmp_path):
    """A server whose answers nobody reads waits, once they are more than the system keeps."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(12_000_000, np.int16), 16_000)
    word = {"type": "word", "keyword": "stop", "score": 0.9, "time_s": 1.0}

    def answer(socket):
        while socket.recv() != '{"end": true}':
            socket.send(json.dumps({"type": "heard", "scores": [0.5] * 400}))
        socket.send(json.dumps(word))

    command = [sys.executable, CLIENT, path]
    with serve(answer, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        try:
            said = subprocess.run(
                [*command, f"ws://127.0.0.1:{port}/listen"],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
        finally:
            server.shutdown()
            thread.join()
    assert (said.stdout, said.stderr) == ("1.00 s  stop  0.900\n", "")


def test_a_port_in_use_is_one_line():
    with bind("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "app.cli", "demo", "--port", port]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
    line = f"port {port} is in use: choose another one with --port\n"
    assert (answer.returncode, answer.stderr, answer.stdout) == (1, line, "")


@pytest.mark.parametrize("host", ["\u00e4..b", ""])
def test_what_is_no_name_of_a_host_is_one_line(host):
    command = [sys.executable, "-m", "app.cli", "demo", "--host", host, "--port", "0"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
    line = f"{host}:0: no name of a host\n"
    assert (answer.returncode, answer.stderr, answer.stdout) == (1, line, "")


def test_without_the_extra_it_says_what_to_install(tmp_path):
    (tmp_path / "gradio.py").write_text("raise ModuleNotFoundError('no', name='gradio')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "app.cli", "demo", "--port", "0"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    line = "the page needs more packages: pip install 'sssm[web]' (gradio is missing)\n"
    assert (answer.returncode, answer.stderr) == (1, line)


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_ctrl_c_waits_for_no_file_that_is_heard(tmp_path):
    """Which is heard in a thread that nothing else can end."""
    soundfile.write(tmp_path / "long.flac", np.zeros(3_500 * 8_000, np.int16), 8_000)
    command = [sys.executable, "-m", "app.cli", "demo", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        url = server.stdout.readline().strip()
        client = Client(url, verbose=False, analytics_enabled=False)
        job = client.submit(handle_file(tmp_path / "long.flac"), "s4", api_name="/classify")
        while job.status().code is not Status.PROCESSING and not job.done():
            time.sleep(0.02)
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=300)
        client.close()
    assert (said, server.returncode) == ("Ctrl-C ends it\n", 130)
    assert "the page closes" in str(job.exception())


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_the_command_serves_and_ends(capsys):
    """It prints its address once it can be opened; Ctrl-C ends it, and its files are gone."""
    command = [sys.executable, "-m", "app.cli", "demo", "--port", "0"]
    start_s = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        url = server.stdout.readline().strip()
        client = Client(url, verbose=False, analytics_enabled=False)
        with capsys.disabled():
            print(f"\npage ready after {time.monotonic() - start_s:.1f} s")
        assert url.startswith("http://127.0.0.1:")
        answer = client.predict(handle_file(clip_path("go")), "s4", api_name="/classify")
        assert answer["label"] == "go"
        client.close()
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=300)
    assert said == "Ctrl-C ends it\n"
    assert server.returncode == 130
