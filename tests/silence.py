"""Silence after sound: what every layer whose state decays owes its caller."""

import torch


@torch.no_grad()
def check_silence(layer, loud, length):
    """After a state of sound, `length` zeros end in exact zeros, in both forms."""
    silence = torch.zeros(1, length, 3)
    y, state = layer(silence, loud)
    assert not state.h.any()
    assert not y[:, -300:].any()
    state = loud
    for x_t in silence.unbind(dim=1):
        y, state = layer.step(x_t, state)
    assert not state.h.any()
    assert not y.any()
