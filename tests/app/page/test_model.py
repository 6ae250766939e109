"""What a page says of a model."""

import re

from app.page.model import CAPTIONS, about
from sssm.weights import load_model, save_model, shipped_models


def test_pictures_beside_a_model_say_what_they_show(tmp_path):
    model, card = load_model(shipped_models()["s4"])
    for own in ("mine", "mine[1]"):
        save_model(tmp_path / f"{own}.safetensors", model, card)
        for name in (f"{own}-det.png", f"{own}-word-errors.png", f"{own}.png"):
            (tmp_path / name).write_bytes(b"\x89PNG")
    for own in ("mine", "mine[1]"):
        shown, _ = about(tmp_path / f"{own}.safetensors")
        captions = re.findall("<figcaption>(.*?)</figcaption>", shown, re.DOTALL)
        assert captions[3:] == [CAPTIONS["det"], "Word errors", own.capitalize()]
