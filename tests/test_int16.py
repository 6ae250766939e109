import numpy as np

from sssm.int16 import as_float, as_int16


def test_as_float_is_below_one():
    np.testing.assert_array_equal(
        as_float(np.array([-32_768, 0, 16_384], np.int16)), np.array([-1, 0, 0.5], np.float32)
    )


def test_every_integer_comes_back():
    x = np.arange(-32_768, 32_768).astype(np.int16)
    assert as_float(x).dtype == np.float32
    np.testing.assert_array_equal(as_int16(as_float(x)), x)


def test_as_int16_rounds_and_is_cut_at_full_scale():
    for dtype in (np.float32, np.float64):
        x = np.array([1.0, -1.0, 1.5, -1.5, 0.4 / 32_768, 0.6 / 32_768], dtype)
        assert as_int16(x).tolist() == [32_767, -32_768, 32_767, -32_768, 0, 1]
