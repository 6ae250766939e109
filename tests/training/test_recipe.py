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
        ("seed=-1", "seed must not be below 0"),
        ("labels=sc13", "labels must be one of sc12, sc35, folder"),
        ("dropout=1.0", r"dropout must be in \[0, 1\)"),
        ("precision=16-true", "precision must be one of 32-true, bf16-mixed"),
    ],
)
def test_what_is_no_setting_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Recipe().override([setting])


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match=r"kws12-s4.*own-words.*smoke"):
        preset("kws13")


def test_presets_train_on_clips_alone():
    assert all(recipe.stream_rows == 0 for recipe in PRESETS.values())


def test_a_recipe_takes_the_shape_of_a_model():
    config = ModelConfig(labels=("a", "b"), channels=24, depth=3)
    recipe = Recipe(steps=7).like(config)
    assert (recipe.channels, recipe.depth, recipe.steps) == (24, 3, 7)
