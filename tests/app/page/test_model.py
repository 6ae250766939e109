"""What a page says of a model."""

import re

from app.page.model import CAPTIONS, about
from sssm.weights import load_model, save_model, shipped_models


def test_pictures_beside_a_model_say_what_they_show(tmp_path):
    model, card = load_model(shipped_models()["s4"])
    save_model(tmp_path / "mine.safetensors", model, card)
    for name in ("mine-det.png", "mine-word-errors.png", "mine.png"):
        (tmp_path / name).write_bytes(b"\x89PNG")
    shown, _ = about(tmp_path / "mine.safetensors")
    captions = re.findall("<figcaption>(.*?)</figcaption>", shown, re.DOTALL)
    assert captions[-3:] == [CAPTIONS["det"], "Word errors", "Mine"]
