"""What the pictures of a calibration show: read off their axes."""

from pathlib import Path

import numpy as np
import pytest

from sssm import plots
from sssm.calibration import EVENTS_MEASURABLE
from sssm.plots import save_det, save_rates


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the pictures that were made."""
    kept, empty = [], plots._empty

    def keep(title):
        figure, axes = empty(title)
        kept.append(axes)
        return figure, axes

    monkeypatch.setattr(plots, "_empty", keep)
    return kept


def test_a_det_curve_steps_from_where_none_is_and_shades_what_was_not_measured(tmp_path, drawn):
    hours = 2.0
    lines = {"all": [(0.0, 0.5), (2.0, 0.1)], "yes": [(0.0, 0.4)]}
    save_det(tmp_path / "a.picture", lines, hours, "title")
    (axes,) = drawn
    line, other = axes.lines
    none = 1 / (3 * hours)
    np.testing.assert_allclose(line.get_xydata(), [(none, 50), (2.0, 10)])
    # Whoever may have no more false accepts than lie between two points misses as with fewer.
    assert line.get_drawstyle() == "steps-post"
    assert [line.get_label(), other.get_label()] == ["all", "yes"]
    shade = axes.patches[0].get_window_extent().transformed(axes.transData.inverted())
    np.testing.assert_allclose((shade.x0, shade.x1), (none, EVENTS_MEASURABLE / hours))
    assert (axes.get_xscale(), axes.get_xlim()[0], axes.get_ylim()[0]) == ("log", none, 0)
    assert axes.get_legend() is not None
    assert axes.get_title() == "title"
    assert (tmp_path / "a.picture").read_bytes().startswith(b"\x89PNG")


def test_rates_stand_over_thresholds_and_what_was_not_measured_is_shaded(tmp_path, drawn):
    save_rates(tmp_path / "b.picture", [(0.9, 0.0), (0.5, 4.0)], 2.0, "title")
    (axes,) = drawn
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [(0.9, 0.0), (0.5, 4.0)])
    shade = axes.patches[0].get_window_extent().transformed(axes.transData.inverted())
    np.testing.assert_allclose((shade.y0, shade.y1), (0, EVENTS_MEASURABLE / 2), atol=1e-9)
    assert axes.get_ylim()[0] == 0
    assert (tmp_path / "b.picture").read_bytes().startswith(b"\x89PNG")


def test_a_title_between_two_dollars_is_no_formula(tmp_path):
    save_rates(tmp_path / "a.png", [(0.9, 0.0)], 2.0, "$_$ on $^$")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_whole_leaves_the_one_before(tmp_path, monkeypatch):
    def full(_, path, **__):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    old, new = tmp_path / "old.png", tmp_path / "new.png"
    old.write_text("before")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    for path in (old, new):
        with pytest.raises(OSError, match="No space"):
            save_rates(path, [(0.9, 0.0)], 2.0, "title")
    assert ([path.name for path in tmp_path.iterdir()], old.read_text()) == (["old.png"], "before")
