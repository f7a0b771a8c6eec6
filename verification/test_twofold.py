"""Matrices in twice the precision have at most the errors that they state, compared with rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp

from jsgmath import Gaussian
from jsgmath.reduction.product import product_of
from jsgmath.reduction.twofold import EPS, Twofold
from jsgmath.reduction.wide import Wide
from verification.oracles import DIGITS
from verification.oracles import exact as moments

ONE = 1 + 1e-12  # errors are summed up in float64

SIZES = [(1, 0), (3, 0), (4, 10), (40, 0), (70, 3)]


def matrix(rng, n, spread, error=0.0):
    """A matrix whose entries have very different sizes, and low parts."""
    high = rng.normal(size=(n, n)) * 10.0 ** rng.uniform(-spread, spread, (n, n))
    return Twofold(high, rng.uniform(-0.5, 0.5, (n, n)) * np.spacing(high), error * np.abs(high))


def exact(x, shift=None):
    """The matrix in rational numbers; ``shift`` moves every entry by this fraction of its error."""
    error = 0 * x.error if shift is None else shift * x.error
    entries = np.broadcast_arrays(x.high, x.low, error)
    return np.array(
        [[sum(map(Fraction, parts)) for parts in zip(*row, strict=True)] for row in zip(*entries, strict=True)]
    )


def shares(result, truth):
    """The true error of each entry of a result, as a fraction of its stated error."""
    wrong = np.abs(exact(result) - truth)
    return np.array(
        [float(a / Fraction(b)) if b else float(a) for a, b in zip(wrong.flat, result.error.flat, strict=True)]
    )


@pytest.mark.parametrize(("n", "spread"), SIZES)
def test_a_product_errs_no_more_than_it_says(n, spread):
    rng = np.random.default_rng(9)
    a, b = matrix(rng, n, spread), matrix(rng, n, spread)
    rows = Twofold(a.high[:4], a.low[:4])
    product = rows @ b
    got = shares(product, exact(rows) @ exact(b))
    assert got.max() <= ONE
    # The stated error is not much larger: 2^-104 is for two roundings of 2^-106.
    assert got.max() >= 0.01 or n == 1
    largest = np.abs(rows.high).max(1, keepdims=True) * np.abs(b.high).max(0)
    assert (product.error <= 2 * EPS**2 * np.abs(product.high) + n * 2.0**-98 * largest).all()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("n", "spread"), SIZES[:3])
def test_errors_of_operands_are_passed_on(n, spread, sign):
    """Both operands have their largest errors, in directions that add up; the stated error is only a little larger."""
    rng = np.random.default_rng(10)
    a, b = (matrix(rng, n, spread, error) for error in (1e-12, 1e-9))
    away_a, away_b = exact(a, sign * np.sign(a.high)), exact(b, np.sign(b.high))
    positive_a, positive_b = (Twofold(np.abs(x.high), 0.0, x.error) for x in (a, b))
    product = positive_a @ positive_b
    got = shares(product, exact(positive_a, sign) @ exact(positive_b, sign))
    assert 0.99 <= got.min() <= got.max() <= ONE
    for total in (a + b, -a + -b, a + -b):
        assert shares(total, exact(total)).max() == 0
    got = shares(a + b, away_a + away_b)
    assert got.max() <= ONE
    got = shares(positive_a + positive_b, exact(positive_a, sign) + exact(positive_b, sign))
    assert 0.99 <= got.min() <= got.max() <= ONE


@pytest.mark.parametrize(("n", "spread"), SIZES)
def test_a_sum_errs_no_more_than_it_says_and_of_single_floats_not_at_all(n, spread):
    rng = np.random.default_rng(11)
    a, b = matrix(rng, n, spread), matrix(rng, n, spread)
    near = Twofold(a.high * (1 + 1e-9), b.low)
    for x, y in ((a, b), (a, -b), (a, -near)):
        total = x + y
        assert shares(total, exact(x) + exact(y)).max() <= ONE
        # Two roundings: one of the low parts, one of the rest.
        assert (total.error <= 4 * EPS * (np.abs(x.low) + np.abs(y.low)) + 4 * EPS**2 * np.abs(total.high)).all()
    single = Twofold(a.high) + -Twofold(near.high)
    assert (single.error == 0).all()
    assert (exact(single) == exact(Twofold(a.high)) - exact(Twofold(near.high))).all()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("spread", [0, 10])
def test_products_of_entries_err_no_more_than_they_say(spread, sign):
    rng = np.random.default_rng(15)
    a, b = matrix(rng, 20, spread), matrix(rng, 20, spread)
    product = a.times(b)
    assert shares(product, exact(a) * exact(b)).max() <= ONE
    assert (product.error <= ONE * 4 * EPS**2 * np.abs(product.high)).all()
    erring = matrix(rng, 20, spread, 1e-12)
    got = shares(erring.times(b), exact(erring, sign) * exact(b))
    assert 0.99 <= got.min() <= got.max() <= ONE


@pytest.mark.parametrize(("n", "units"), [(1, 0), (3, 0), (5, 60), (8, 140)])
def test_an_inverse_errs_no_more_than_it_says(n, units):
    """Rows and columns have any units; the residual in rational numbers gives the true error."""
    rng = np.random.default_rng(12)
    core = Twofold(np.eye(n) + 0.3 * rng.normal(size=(n, n)) / n, 0.1 * EPS * rng.normal(size=(n, n)))
    rows, columns = rng.integers(-units, units + 1, (2, n))
    a = core.scaled(rows[:, None] + columns)
    inverse = a.inverse()
    assert (inverse.error <= 1e-27 * np.ldexp(1.0, -columns[:, None] - rows)).all()
    # A^-1 - X = X (1 - A X) + ..., and the next power is below 1e-50.
    x, one = exact(inverse), np.array([[Fraction(int(i == j)) for j in range(n)] for i in range(n)])
    residual = one - exact(a) @ x
    truth = x + x @ residual
    assert shares(inverse, truth).max() <= ONE


def test_the_diagonal_and_a_transpose_are_exact():
    rng = np.random.default_rng(13)
    a = matrix(rng, 4, 3, 1e-20)
    values, errors = a.diagonal(np.longdouble)
    assert (values == np.diagonal(a.high).astype(np.longdouble) + np.diagonal(a.low)).all()
    assert (errors == np.diagonal(a.error)).all()
    assert a.T.T is a
    assert (exact(a.T) == exact(a).T).all()


@pytest.mark.parametrize("form", ["cov", "scale_tril", "precision", "std"])
def test_a_precision_has_all_its_digits(form):
    rng = np.random.default_rng(14)
    tril = np.tril(rng.normal(size=(4, 4)), -1) + np.diag(rng.uniform(0.1, 1.0, 4))
    scale = {"scale_tril": tril, "std": np.diag(tril)}.get(form, tril @ tril.T)
    N = Gaussian(0.0, **{form: scale})
    with mp.workdps(DIGITS):
        _, S = moments(form, N.mean, N.scale)
        truth = S**-1
        P = product_of([N], [Wide.of(np.ones(()))])[1]
        found = [[mp.mpf(float(P.high[i, j])) + mp.mpf(float(P.low[i, j])) for j in range(4)] for i in range(4)]
        size = max(abs(x) for x in truth)
        error = max(abs(found[i][j] - truth[i, j]) for i in range(4) for j in range(4)) / size
    assert error <= 2.0**-60  # 2^-84 was measured
