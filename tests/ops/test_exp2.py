import numpy as np
import pytest

from sssm.ops.compiled import compiled
from sssm.ops.exp2 import exp2


@compiled
def powers(x, y):
    for k in range(x.shape[0]):
        y[k] = exp2(x[k])


def of(x):
    y = np.empty_like(x)
    powers(x, y)
    return y


def test_it_is_a_power_of_two_to_one_unit_in_the_last_place():
    x = np.linspace(-126.5, 127, 1_000_003).astype(np.float32)
    truth = np.exp2(x.astype(np.float64))
    unit = np.spacing(truth.astype(np.float32))
    assert np.max(np.abs(of(x) - truth) / unit) < 1


def test_whole_powers_are_exact():
    n = np.arange(-126, 128)
    # np.exp2 is not exact in float32 on every processor.
    assert np.array_equal(of(n.astype(np.float32)), np.ldexp(np.float32(1), n))


@pytest.mark.parametrize("x", [-126.501, -127.0, -1e9, -np.inf])
def test_far_down_it_is_zero(x):
    assert of(np.array([x], np.float32)) == 0


def test_what_is_not_a_number_stays_so():
    assert np.isnan(of(np.array([np.nan], np.float32)))


def test_float64_is_the_library_s():
    x = np.linspace(-1_000, 100, 1_001)
    np.testing.assert_allclose(of(x), np.exp2(x), rtol=1e-15)


def test_it_is_the_same_outside_of_compiled_code():
    assert exp2(3.0) == 8
