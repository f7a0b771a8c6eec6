"""Exponential families as software: what they refuse and return."""

import numpy as np
import pytest

from jsgmath.families import Bernoulli, Beta, Categorical, Dirichlet, Exponential, Gamma, Geometric, Poisson


def many(last):
    """In an array of this size only the smallest and the largest number are checked."""
    return np.append(np.full(5000, 0.5), last)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Poisson(-1.0), "rate must be non-negative and finite, got -1.0"),
        (lambda: Poisson(np.inf), "rate must be non-negative and finite, got inf"),
        (lambda: Geometric(0.0), r"probs must be in \(0, 1\], got 0.0"),
        (lambda: Gamma([1.0, np.nan], 1.0), "shape must be positive and finite, got nan"),
        (lambda: Gamma(many(np.nan), 1.0), "shape must be positive and finite, got nan"),
        (lambda: Exponential(many(0.0)), "rate must be positive and finite, got 0.0"),
        (lambda: Exponential(many(np.inf)), "rate must be positive and finite, got inf"),
        (lambda: Geometric(many(1.5)), r"probs must be in \(0, 1\], got 1.5"),
        (lambda: Categorical(many(0.0)[:, None]), "probs must be positive somewhere, got 0.0"),
        (lambda: Exponential(scale=0.0), "scale must be positive and finite, got 0.0"),
        (lambda: Beta(1.0, -2.0), "b must be positive and finite, got -2.0"),
        (lambda: Beta([1.0, 2.0], [1.0, 2.0, 3.0]), r"shapes \(2,\) of a and \(3,\) of b do not broadcast"),
        (lambda: Dirichlet([1.0]), r"concentration must have shape \(..., K\) with K at least 2, got \(1,\)"),
        (lambda: Categorical(0.5), r"probs must have shape \(..., K\) with K at least 1, got \(\)"),
        (lambda: Categorical([-0.1, 1.1]), "probs must be non-negative and finite, got -0.1"),
        (lambda: Categorical([0.0, 0.0]), "probs must be positive somewhere, got 0.0"),
        (lambda: Categorical(logits=[-np.inf, -np.inf]), "logits must be finite somewhere, got -inf"),
        (lambda: Categorical(logits=[np.inf, 0.0]), "logits must be finite or -inf, got inf"),
        (lambda: Bernoulli(1.5), r"probs must be in \[0, 1\], got 1.5"),
        (lambda: Bernoulli(logits=np.inf), "logits must be finite; use probs=0 or probs=1 for infinite ones, got inf"),
        (
            lambda: Categorical([1.0, 0.0]).geometric_mean(Categorical([0.0, 1.0]), 0.5),
            "the two distributions have no common outcome",
        ),
        (
            lambda: Poisson([1.0, 2.0]).skew(Poisson([1.0, 2.0, 3.0]), 0.5, "deasy", False),
            r"shapes \(2,\) of N1 and \(3,\) of N2 do not broadcast",
        ),
        (
            lambda: Poisson([1.0, 2.0]).skew(Poisson(3.0), [0.1, 0.2, 0.3], "deasy", False),
            r"shapes \(2,\) of N1 and \(3,\) of alpha do not broadcast",
        ),
        (
            lambda: Dirichlet([1.0, 2.0]).skew(Dirichlet([1.0, 2.0, 3.0]), 0.5, "deasy", False),
            "N1 has dimension 2 but N2 has 3",
        ),
        (
            lambda: Poisson([1.0]).independent(1).skew(Poisson([1.0]), 0.5, "deasy", False),
            "N1 has 1 event dimensions but N2 has 0",
        ),
        (lambda: Poisson(1.0).skew(Poisson(2.0), 1.5, "deasy", False), r"alpha must lie in \[0, 1\], got 1.5"),
    ],
)
def test_a_bad_value_is_refused_with_a_reason(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gamma(1.0), "Gamma takes either rate= or scale=, which is 1/rate, got neither"),
        (lambda: Exponential(1.0, scale=1.0), "Exponential takes either rate= or scale=, which is 1/rate, got both"),
        (lambda: Bernoulli(), "Bernoulli takes either probs= or logits=, got neither"),
        (lambda: Categorical([1.0], logits=[1.0]), "Categorical takes either probs= or logits=, got both"),
        (lambda: Poisson("much"), "rate must be real numbers"),
        (
            lambda: Poisson(1.0).skew(Geometric(0.5), 0.5, "deasy", False),
            "N1 is a Poisson but N2 a Geometric; a divergence compares members of one family",
        ),
    ],
)
def test_a_wrong_type_is_refused_with_a_reason(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_types_and_shapes_follow_the_parameters():
    value = Gamma(np.ones((3, 1), np.float32), rate=np.float32(2)).skew(
        Gamma(np.full(4, 2, np.float32), scale=np.float32(1)), np.linspace(0, 1, 4), "deasy", False
    )
    assert (value.dtype, value.shape) == (np.float32, (3, 4))
    assert isinstance(Poisson(1).skew(Poisson(2), 0.5, "deasy", False), np.float64)
    assert Dirichlet(np.ones((5, 3))).skew(Dirichlet([1.0, 2.0, 3.0]), 0.5, "deasy", True).shape == (5,)
    assert repr(Categorical(logits=[[0.5, -0.5]]).independent(1)) == "Categorical(logits=[[0.5, -0.5]]).independent(1)"
