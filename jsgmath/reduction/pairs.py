"""What two Gaussians are reduced to: independent one-dimensional pairs, in the quantities that `formula.py` takes."""

from typing import NamedTuple

import numpy as np

from jsgmath.gaussian import Gaussian


class ScalarPairs(NamedTuple):
    """The scalars of `formula.py`, one per direction: shape ``(..., n)``."""

    log_r1: np.ndarray
    r1: np.ndarray
    r2: np.ndarray
    e1: np.ndarray
    e2: np.ndarray
    d1: np.ndarray
    d2: np.ndarray


class Reduced(NamedTuple):
    """A pair, and how far a divergence computed from it may be from that of the two Gaussians.

    At most by ``relative`` of itself, shape ``(...)``, and by the same divergence of the pair ``slack``.
    """

    pair: ScalarPairs
    relative: np.ndarray
    slack: ScalarPairs


def common_batch(N1: Gaussian, N2: Gaussian) -> tuple[int, ...]:
    """The batch shape to which both broadcast, or a ValueError that says why they make no pair."""
    if N1.dim != N2.dim:
        raise ValueError(f"N1 has dimension {N1.dim} but N2 has {N2.dim}; divergences need equal dimensions")
    try:
        return np.broadcast_shapes(N1.batch_shape, N2.batch_shape)
    except ValueError:
        raise ValueError(
            f"batch shapes {N1.batch_shape} of N1 and {N2.batch_shape} of N2 do not broadcast; make them equal or 1"
        ) from None


def finite(x: np.ndarray) -> np.ndarray:
    """``x`` with an overflow replaced by the largest number, so that a weight of zero makes it zero."""
    largest = np.finfo(x.dtype).max
    return np.clip(x, -largest, largest)


def positive(x: np.ndarray) -> np.ndarray:
    """Likewise for ``x > 0``, and with an underflow replaced by the smallest normal number."""
    return np.maximum(finite(x), np.finfo(x.dtype).tiny)
