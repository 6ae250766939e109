"""What tests of a page's parts share: its models, and a chunk as a browser sends it."""

import numpy as np
import pytest

from app.page.inbox import HEADER
from app.page.shelf import Shelf


@pytest.fixture(scope="module")
def shelf():
    return Shelf("s4")


def chunk(number, index, samples):
    return HEADER.pack(number, index) + np.asarray(samples, "<i2").tobytes()
