"""A small model file for every test that needs one."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    path.write_text(
        '{"labels":["_silence_","_unknown_","yes","no"],"config":{"bands":8,"channels":8,"state_size":2,"depth":2}}'
    )
    return path
