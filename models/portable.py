"""Logarithm and exponential that are the same on every machine.

NumPy chooses its own by what the processor can do, and they differ in the last bits; trained models would too. Here
each value goes through the C library's, as everywhere in compiled loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from models.jit import njit

Floats = npt.NDArray[np.float64]


def log(values: Any) -> Floats:
    """Natural logarithm, float64 of the same shape.

    Args:
        values: float64 of any shape, above 0.

    Example:
        >>> log([1.0, math.e])
        array([0., 1.])
    """
    given = np.ascontiguousarray(values, np.float64)
    out = np.empty(given.shape)
    _log_into(given.reshape(-1), out.reshape(-1))
    return out


def exp(values: Any) -> Floats:
    """E to the power of each value, float64 of the same shape.

    Args:
        values: float64 of any shape, below 709, where the result is no number any more.

    Example:
        >>> exp([0.0, math.log(2.0)])
        array([1., 2.])
    """
    given = np.ascontiguousarray(values, np.float64)
    out = np.empty(given.shape)
    _exp_into(given.reshape(-1), out.reshape(-1))
    return out


@njit
def _log_into(values: Floats, out: Floats) -> None:
    for i in range(values.shape[0]):
        out[i] = math.log(values[i])


@njit
def _exp_into(values: Floats, out: Floats) -> None:
    for i in range(values.shape[0]):
        out[i] = math.exp(values[i])
