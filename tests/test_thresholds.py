import json

import pytest

from sssm.thresholds import ThresholdsError, read_thresholds, write_thresholds

WHOLE = {"format_version": 1, "model": "abc", "thresholds": {"yes": 0.5}}


def read(path):
    return read_thresholds(path, fingerprint="abc", keywords=("yes", "no"))


def test_a_file_comes_back(tmp_path):
    write_thresholds(tmp_path / "t.json", {"yes": 0.5, "no": 1.0}, fingerprint="abc")
    assert read(tmp_path / "t.json") == {"yes": 0.5, "no": 1.0}
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    (tmp_path / "t.json").write_text(text, encoding="utf-8-sig")  # as an editor on Windows saves it
    assert read(tmp_path / "t.json") == {"yes": 0.5, "no": 1.0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "not a file of thresholds"),
        (json.dumps(WHOLE | {"more": 1}), "not a file of thresholds"),
        (json.dumps(WHOLE | {"format_version": 2}), "version 2, this program reads 1"),
        (json.dumps(WHOLE | {"format_version": 0}), "version 0, this program reads 1"),
        (json.dumps(WHOLE | {"model": "other"}), "thresholds of another model"),
        (json.dumps(WHOLE | {"thresholds": []}), "a threshold is no number"),
        (json.dumps(WHOLE | {"thresholds": {"yes": True}}), "a threshold is no number"),
        (json.dumps(WHOLE | {"thresholds": {"yes": 0}}), r"of 'yes' must be in \(0, 1\]"),
        (json.dumps(WHOLE | {"thresholds": {"yes": -1}}), r"of 'yes' must be in \(0, 1\]"),
        (json.dumps(WHOLE).replace("0.5", "1" + 400 * "0"), r"must be in \(0, 1\]$"),
        (
            json.dumps(WHOLE | {"thresholds": {"maybe": 0.5}}),
            r"no keyword 'maybe' \(keywords: yes, no\)$",
        ),
        (json.dumps(WHOLE).replace("0.5", "NaN"), r"must be in \(0, 1\]$"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(tmp_path, text, reason):
    path = tmp_path / "t.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ThresholdsError, match=reason) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_no_file_is_one_line_too(tmp_path):
    with pytest.raises(ThresholdsError, match=r"t\.json: no such file"):
        read(tmp_path / "t.json")
