"""Settings: every one by its name, and what is no setting is refused."""

import pytest

from sssm.config import ModelConfig
from training.recipe import PRESETS, Recipe, preset


def test_settings_override_a_preset():
    recipe = preset("smoke").override(["lr=0.01", "steps=5", "precision=bf16-mixed"])
    assert (recipe.lr, recipe.steps, recipe.precision) == (0.01, 5, "bf16-mixed")
    assert recipe.channels == preset("smoke").channels


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stps=5", "'stps=5' is no KEY=VALUE setting; did you mean steps"),
        ("steps", "'steps' is no KEY=VALUE setting"),
        ("steps=many", "steps=many: steps is int"),
        ("lr=nan", "lr must be a finite number"),
        ("lr=0", "lr must be above 0"),
        ("batch=0", "batch must be at least 1"),
        ("warmup=-1", "warmup must not be below 0"),
        ("seed=-1", r"seed must be in \[0, 2147483647\]"),
        ("seed=2147483648", r"seed must be in \[0, 2147483647\]"),
        ("steps=0", "steps must be at least 1"),
        ("clip_s=0.001", r"clip_s must be in \[0.1, 60\]"),
        ("word_weight=-5", r"word_weight must be in \[0, 1000\]"),
        ("weight_decay=-1", r"weight_decay must be in \[0, 100\]"),
        ("balance=2.1", r"balance must be in \[0, 2\]"),
        ("shift_s=-1", r"shift_s must be in \[0, 10\]"),
        ("speed_range=0.6", r"speed_range must be in \[0, 0.5\]"),
        ("snr_high_db=200", r"snr_high_db must be in \[-120, 120\]"),
        ("gain_low_db=-200", r"gain_low_db must be in \[-120, 120\]"),
        ("snr_low_db=31", "snr_low_db must not be above snr_high_db, got 31.0 and 30.0"),
        ("gain_high_db=-16", "gain_low_db must not be above gain_high_db"),
        ("labels=sc13", "labels must be one of sc12, sc10, sc35, folder"),
        ("dropout=1.0", r"dropout must be in \[0, 1\)"),
        ("precision=16-true", "precision must be one of 32-true, bf16-mixed"),
    ],
)
def test_what_is_no_setting_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Recipe().override([setting])


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        ("bands channels state_size depth steps batch loaders", 0, "at least 1"),
        ("save_every validate_every log_every", 0, "at least 1"),
        ("stream_s session_s clip_norm lr ssm_lr", 0, "above 0"),
        ("dropout ema unknown_share silence_share", 1, "in"),
        ("sentence_share phrase_share speed pitch noise babble", 1.5, "in"),
        ("room low_pass notch tilt time_mask", -0.5, "in"),
        ("word_weight phone_weight stream_weight weight_decay matrix_lr", -1, "in"),
        ("warmup vocabulary stream_rows seed", -1, "not be below 0|in"),
    ],
)
def test_every_number_has_its_bounds(names, value, message):
    for name in names.split():
        with pytest.raises(ValueError, match=f"^{name} must (be )?({message})"):
            Recipe().override([f"{name}={value}"])


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match=r"kws12-s4.*own-words.*smoke"):
        preset("kws13")


def test_what_is_made_to_be_listened_with_at_once_trains_on_streams():
    assert {name for name, recipe in PRESETS.items() if recipe.stream_rows} == {"own-words"}


def test_a_recipe_takes_the_shape_of_a_model():
    shape = {"front": "samples", "layer": "s4", "bands": 9, "channels": 24}
    shape |= {"state_size": 3, "depth": 2, "slowest_s": 0.1}
    config = ModelConfig(labels=("a", "b"), **shape)
    assert Recipe(steps=7, dropout=0.3).like(config) == Recipe(steps=7, dropout=0.3, **shape)
