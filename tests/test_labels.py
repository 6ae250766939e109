import pytest

from sssm.labels import label_of


@pytest.mark.parametrize(
    ("folder", "labels", "expected"),
    [
        ("lamp", ("lamp", "_unknown_", "_silence_"), "lamp"),
        ("house", ("lamp", "_unknown_", "_silence_"), "_unknown_"),
        ("_unknown_", ("lamp", "_unknown_", "_silence_"), "_unknown_"),
        ("_silence_", ("lamp", "_unknown_", "_silence_"), "_silence_"),
        ("_background_noise_", ("lamp", "_unknown_", "_silence_"), "_silence_"),
        ("house", ("lamp", "_silence_"), None),
        ("_background_noise_", ("lamp", "_unknown_"), None),
        ("_silence_", ("lamp", "_unknown_"), None),
        ("Lo\u0308we", ("L\u00f6we", "_unknown_"), "L\u00f6we"),
        ("L\u00f6we", ("Lo\u0308we", "_unknown_"), "Lo\u0308we"),
    ],
)
def test_what_a_folder_is_to_a_model(folder, labels, expected):
    assert label_of(folder, labels) == expected
