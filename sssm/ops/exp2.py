"""2 to a power inside a compiled loop, in plain arithmetic that becomes vector instructions.

A call of the C library's function, which float64 keeps, would leave a loop scalar.
"""

import numba
import numpy as np
from numba.extending import overload

BIAS = np.float32(1.5 * 2**23)
"""Added to a number below 2^22 in magnitude, it leaves the nearest integer in the lowest bits."""


def exp2(x):
    """2^x, for compiled code: float32 to 1 unit in the last place, and 0 below -126.5.

    x is at most 127.
    """
    return np.exp2(x)


def _exp2_single(x):
    x = max(x, np.float32(-127))
    whole = x + BIAS
    part = x - (whole - BIAS)  # in [-0.5, 0.5], exact
    # The polynomial of degree 6 whose relative error there is least: 2e-9, and 2e-8 with its
    # coefficients rounded to float32.
    p = np.float32(1.5353362e-4)
    p = p * part + np.float32(1.3398875e-3)
    p = p * part + np.float32(9.6184369e-3)
    p = p * part + np.float32(5.5503324e-2)
    p = p * part + np.float32(2.4022648e-1)
    p = p * part + np.float32(6.9314718e-1)
    p = p * part + np.float32(1)
    # The integer goes where a float32 has its exponent; 127 there is 2^0, and 0 is 0.
    exponent = (np.float32(whole).view(np.int32) << 23) + (127 << 23)
    return p * np.int32(exponent).view(np.float32)


def _exp2_double(x):
    return np.exp2(x)


@overload(exp2)
def _exp2_compiled(x):
    return _exp2_single if x == numba.float32 else _exp2_double
