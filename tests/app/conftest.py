"""A model that hears words in chirps, and its spotter."""

from pathlib import Path

import pytest
from sounds import sensitive

from sssm.spotter import KeywordSpotter


@pytest.fixture(scope="module")
def model(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sensitive(model_file, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def spotter(model: Path) -> KeywordSpotter:
    return KeywordSpotter.load(model)
