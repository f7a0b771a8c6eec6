"""Bad input raises an error whose message says what was got, what was wanted and, if it helps, what to do."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.stats

import jsgmath
from jsgmath import Gaussian, bhattacharyya, geometric_mean, jeffreys, jsg, jsg_dual, jsg_dual_grad, jsg_grad, kl

N = Gaussian([0.0, 0.0], var=[1.0, 1.0])
D = Gaussian([0.0, 0.0], cov=np.eye(2))
N3 = Gaussian([0.0, 0.0, 0.0], var=1.0)
BATCH2, BATCH3 = (Gaussian(np.zeros((size, 2)), var=1.0) for size in (2, 3))
VECTOR = np.array([0.3, 1.7, -0.4])
SINGULAR32 = np.outer(VECTOR, VECTOR).astype(np.float32) + np.float32(1e-8) * np.eye(3, dtype=np.float32)

MASKED = "must not have masked entries | fill"


class Metres(np.ndarray):
    """An array with a unit, as in Astropy; NumPy drops it."""

    unit = "m"

    def __new__(cls, value):
        return np.asarray(value).view(cls)


class Lazy:
    def __array__(self, dtype=None, copy=None):
        raise KeyError("the table is closed\nfor today")


# name: (call, exception, texts that its message must contain, separated by |)
ALPHA = {
    "alpha above 1": (lambda: jsg(N, N, 1.2), ValueError, "alpha | [0, 1] | 1.2"),
    "alpha below 0": (lambda: jsg_dual(N, N, -0.1), ValueError, "alpha | [0, 1] | -0.1"),
    "alpha NaN": (lambda: jsg(N, N, np.nan), ValueError, "alpha | [0, 1] | nan"),
    "alpha infinite": (lambda: jsg(N, N, np.inf), ValueError, "alpha | [0, 1] | inf"),
    "one alpha of many": (lambda: jsg(N, N, [0.1, 7.0, 0.2]), ValueError, "alpha | [0, 1] | 7.0"),
    "alpha complex": (lambda: jsg(N, N, 0.5 + 0j), TypeError, "alpha | real numbers | complex128"),
    "alpha text": (lambda: jsg(N, N, "0.5"), TypeError, "alpha | real numbers | <U3"),
    "alpha a truth value": (lambda: jsg(N, N, True), TypeError, "alpha | real numbers | bool"),
    "alpha a fraction above 1": (lambda: jsg(N, N, Fraction(3, 2)), ValueError, "alpha | [0, 1] | 3/2"),
    "alpha a fraction that rounds to 1": (
        lambda: jsg(N, N, 1 + Fraction(1, 2**60)),
        ValueError,
        "alpha | [0, 1] | 1152921504606846977/1152921504606846976",
    ),
    "alpha None": (lambda: jsg(N, N, None), TypeError, "alpha | real numbers | object"),
    "alpha longer than float64": (lambda: jsg(N, N, np.longdouble(0.5)), TypeError, "alpha | up to float64"),
    "alpha of the wrong shape": (lambda: jsg(BATCH2, N, [0.1] * 3), ValueError, "alpha | (3,) | (2,) | broadcast"),
    "alpha ragged": (lambda: jsg(N, N, [[0.1], [0.2, 0.3]]), ValueError, "alpha | unequal length"),
    "alpha above 1 for Bhattacharyya": (lambda: bhattacharyya(N, N, 2), ValueError, "alpha | [0, 1] | 2"),
    "alpha above 1 for a gradient": (lambda: jsg_grad(N, N, 1.5), ValueError, "alpha | [0, 1] | 1.5"),
    "weight above 1": (lambda: geometric_mean(N, N, 1.5), ValueError, "weight | [0, 1] | 1.5"),
    "weight text": (lambda: geometric_mean(N, N, "a"), TypeError, "weight | real numbers | <U1"),
}
CONVENTION = {
    f"convention {value!r}": (
        lambda value=value: jsg(N, N, 0.5, convention=value),
        ValueError,
        f"convention | 'deasy' or 'nielsen' | got {value!r}",
    )
    for value in ("paper", "Deasy", None, ["deasy"], np.zeros(2))
}
SCALE = {
    f"{form} {bad}": (
        lambda form=form, bad=bad: Gaussian([0.0, 0.0], **{form: [1.0, bad]}),
        ValueError,
        f"{form} must be {wanted} | got {bad}",
    )
    for form, wanted, cases in (
        ("var", "positive and finite", (-1.0, 0.0, np.inf, np.nan)),
        ("std", "positive and finite", (-1.0, 0.0, np.inf, np.nan)),
        ("logvar", "finite", (-np.inf, np.inf, np.nan)),
    )
    for bad in cases
}
MEAN = {
    "mean NaN": (lambda: Gaussian([0.0, np.nan], var=1.0), ValueError, "mean | finite | nan"),
    "mean infinite": (lambda: Gaussian([-np.inf, 0.0], var=1.0), ValueError, "mean | finite | -inf"),
    "mean complex": (lambda: Gaussian([1j], var=[1.0]), TypeError, "mean | real numbers | complex128 | convert"),
    "mean text": (lambda: Gaussian(["a"], var=[1.0]), TypeError, "mean | real numbers | <U1"),
    "mean None": (lambda: Gaussian(None, var=[1.0]), TypeError, "mean | real numbers | object"),
    "mean of objects": (
        lambda: Gaussian(np.array([1.0], object), var=[1.0]),
        TypeError,
        "mean | real numbers | object",
    ),
    "mean of truth values": (lambda: Gaussian([True], var=[1.0]), TypeError, "mean | real numbers | bool"),
    "mean of dates": (lambda: Gaussian(np.array(["2020"], "M8[Y]"), var=[1.0]), TypeError, "mean | real | datetime64"),
    "mean ragged": (lambda: Gaussian([[1.0], [1.0, 2.0]], var=1.0), ValueError, "mean | unequal length"),
    "mean too large an integer": (lambda: Gaussian([10**400], var=1.0), TypeError, "mean | real numbers"),
    "mean masked": (lambda: Gaussian(np.ma.masked_values([0.0, -9999.0], -9999.0), var=1.0), ValueError, MASKED),
    "mean of masked rows": (lambda: Gaussian([np.ma.masked_values([-9.0], -9.0)], var=1.0), ValueError, MASKED),
    "mean with a unit": (lambda: Gaussian(Metres([1.0, 2.0]), var=1.0), TypeError, "mean | the unit m | one unit"),
    "alpha with a unit in a list": (lambda: jsg(N, N, [Metres(0.5)]), TypeError, "alpha | the unit m | numbers"),
    "SciPy's scale with a unit": (lambda: kl(scipy.stats.norm(0.0, Metres([1.0])), N), TypeError, "scale | unit m"),
    "mean of integers that float64 lacks": (
        lambda: Gaussian([2**53 + 1, 0], var=1.0),
        ValueError,
        "mean | fit into float64 | got 9007199254740993, which would become 9007199254740992 | offset",
    ),
    "rate of the largest integers": (
        lambda: jsgmath.families.Poisson(np.array([2**64 - 1], np.uint64)),
        ValueError,
        "rate | got 18446744073709551615",
    ),
    "mean that cannot be converted": (lambda: Gaussian(Lazy(), var=1.0), TypeError, "mean | Lazy | (KeyError) | conv"),
    "mean a generator": (lambda: Gaussian((x for x in [1.0]), var=1.0), TypeError, "mean | object (generator)"),
    "var masked": (lambda: Gaussian([0.0, 0.0], var=np.ma.masked_values([1.0, 2.0], 2.0)), ValueError, MASKED),
    "rate masked": (lambda: jsgmath.families.Poisson(np.ma.masked_values([1.0, 9.0], 9.0)), ValueError, MASKED),
    "SciPy's loc masked": (
        lambda: kl(scipy.stats.norm(np.ma.masked_values([1.0, 9.0], 9.0)), N),
        ValueError,
        MASKED,
    ),
    "alpha masked": (lambda: jsg(N, N, np.ma.masked_values([0.2, 0.5], 0.5)), ValueError, MASKED),
    "weights masked": (
        lambda: jsgmath.jsg_many([N, N], np.ma.masked_values([0.5, 0.5], 0.5)),
        ValueError,
        MASKED,
    ),
    "weights that are no list": (lambda: jsgmath.jsg_many([N, N], {0.5}), TypeError, "weights | a list | got set"),
    "weights a number": (lambda: jsgmath.jsg_many([N, N], np.array(0.5)), TypeError, "weights | a list | ndarray"),
    "a variance of the mean beyond the range": (
        lambda: geometric_mean(Gaussian(0.0, logvar=[-900.0]), Gaussian(0.0, var=[1.0]), 0.5),
        ValueError,
        "variance of the geometric mean | float64 | logvar=",
    ),
    "mean empty": (lambda: Gaussian([], var=[]), ValueError, "at least one dimension | 0"),
}
MATRIX = {
    "cov asymmetric": (
        lambda: Gaussian([0.0, 0.0], cov=[[1.0, 0.5], [0.2, 1.0]]),
        ValueError,
        "cov | not symmetric | 0.3 | (cov + cov.T) / 2",
    ),
    "cov asymmetric with large variances": (
        lambda: Gaussian([0.0, 0.0], cov=[[1e300, 1e299], [0.0, 1e300]]),
        ValueError,
        "cov | not symmetric | 1e+299",
    ),
    "cov indefinite": (
        lambda: Gaussian([0.0, 0.0], cov=[[1.0, 2.0], [2.0, 1.0]]),
        ValueError,
        "cov | not positive definite | smallest eigenvalue -1 | cov + jitter * I",
    ),
    "cov of negative variances": (
        lambda: Gaussian([0.0, 0.0], cov=-np.eye(2)),
        ValueError,
        "not positive definite | -1",
    ),
    "cov zero": (lambda: Gaussian([0.0, 0.0], cov=np.zeros((2, 2))), ValueError, "not positive definite"),
    "cov singular": (lambda: Gaussian(0.0, cov=np.ones((3, 3))), ValueError, "not positive definite | jitter"),
    # Rounding may make the last pivot of these matrices a tiny positive number.
    "cov singular but for rounding": (
        lambda: Gaussian(0.0, cov=np.full((3, 3), 0.1)),
        ValueError,
        "not positive definite",
    ),
    "cov of rank one": (lambda: Gaussian(0.0, cov=np.outer(VECTOR, VECTOR)), ValueError, "not positive definite"),
    "cov singular in float32": (lambda: Gaussian(0.0, cov=SINGULAR32), ValueError, "not positive definite | jitter"),
    "cov of fewer samples than dimensions": (
        lambda: Gaussian(0.0, cov=np.cov(np.random.default_rng(0).normal(size=(20, 15)))),
        ValueError,
        "cov | not positive definite",
    ),
    "one cov of a batch": (
        lambda: Gaussian(0.0, cov=[np.eye(2), -np.eye(2)]),
        ValueError,
        "not positive definite | -1",
    ),
    "cov not square": (lambda: Gaussian([0.0, 0.0], cov=np.ones((2, 3))), ValueError, "cov | (..., n, n) | (2, 3)"),
    "cov a vector": (lambda: Gaussian([0.0, 0.0], cov=[1.0, 2.0]), ValueError, "cov | (..., n, n) | (2,) | var="),
    "cov a number": (lambda: Gaussian([0.0, 0.0], cov=1.0), ValueError, "cov | (..., n, n) | () | var="),
    "cov NaN": (lambda: Gaussian(0.0, cov=[[np.nan]]), ValueError, "cov | finite | nan"),
    "cov infinite": (lambda: Gaussian(0.0, cov=np.diag([1.0, np.inf])), ValueError, "cov | finite | inf"),
    "cov complex": (lambda: Gaussian(0.0, cov=np.eye(2) * 1j), TypeError, "cov | real numbers | complex128"),
    "precision indefinite": (
        lambda: Gaussian(0.0, precision=[[1.0, 2.0], [2.0, 1.0]]),
        ValueError,
        "precision | not positive definite | -1 | precision + jitter * I",
    ),
    "precision asymmetric": (
        lambda: Gaussian(0.0, precision=[[1.0, 0.5], [0.0, 1.0]]),
        ValueError,
        "precision | symmetric",
    ),
    "scale_tril full": (
        lambda: Gaussian(0.0, scale_tril=[[1.0, 0.7], [0.0, 1.0]]),
        ValueError,
        "scale_tril | lower triangular | 0.7 above the diagonal | cholesky",
    ),
    "scale_tril of negative diagonal": (
        lambda: Gaussian(0.0, scale_tril=[[1.0, 0.0], [0.0, -0.7]]),
        ValueError,
        "scale_tril | positive diagonal | -0.7 on the diagonal | cholesky",
    ),
    "scale_tril singular": (
        lambda: Gaussian(0.0, scale_tril=np.zeros((2, 2))),
        ValueError,
        "positive diagonal | 0.0 on",
    ),
}
SHAPE = {
    "mean and var of unequal dimension": (lambda: Gaussian([0.0] * 3, var=[1.0] * 2), ValueError, "mean | 3 | var | 2"),
    "mean and cov of unequal dimension": (lambda: Gaussian([0.0] * 3, cov=np.eye(2)), ValueError, "mean | 3 | cov | 2"),
    "batches of mean and var": (
        lambda: Gaussian(np.zeros((2, 2)), var=np.ones((3, 2))),
        ValueError,
        "(2,) of mean | (3,) of var | do not broadcast",
    ),
    "Gaussians of unequal dimension": (lambda: kl(N, N3), ValueError, "N1 has dimension 2 but N2 has 3 | equal"),
    "a dense one of unequal dimension": (lambda: jsg(N3, D, 0.5), ValueError, "N1 has dimension 3 but N2 has 2"),
    "a mean of unequal ones": (lambda: geometric_mean(N3, N, 0.5), ValueError, "N1 has dimension 3 but N2 has 2"),
    "batches of two Gaussians": (lambda: kl(BATCH2, BATCH3), ValueError, "(2,) of N1 | (3,) of N2 | do not broadcast"),
}
KIND = {
    "a bare tuple": (lambda: jsg(([0.0], [1.0]), N, 0.5), TypeError, "N1 | Gaussian | tuple | var, logvar, std or cov"),
    "a second bare tuple": (lambda: jeffreys(N, (0.0, 1.0)), TypeError, "N2 | Gaussian | tuple"),
    "an array": (lambda: kl(np.zeros(2), N), TypeError, "N1 | Gaussian | ndarray"),
    "None": (lambda: jsg(N, None, 0.5), TypeError, "N2 | Gaussian | NoneType"),
    "the class": (lambda: jsg(Gaussian, N, 0.5), TypeError, "N1 | the class Gaussian | call it"),
    "another frozen distribution": (
        lambda: kl(scipy.stats.uniform(), N),
        TypeError,
        "N1 | scipy.stats.uniform",
    ),
    "a norm of negative scale": (lambda: kl(scipy.stats.norm(0, -1), N), ValueError, "std | positive | -1"),
    "a singular multivariate_normal": (
        lambda: kl(scipy.stats.multivariate_normal([0, 0], np.ones((2, 2)), allow_singular=True), N),
        ValueError,
        "cov | not positive definite",
    ),
    "two scales": (lambda: Gaussian([0.0], var=[1.0], std=[1.0]), TypeError, "exactly one of | got var and std"),
    "no scale": (lambda: Gaussian([0.0]), TypeError, "exactly one of | var, logvar, std, cov | got none"),
    "a scale without its name": (lambda: Gaussian([0.0], [1.0]), TypeError, "positional"),
    "a gradient of a dense Gaussian": (lambda: jsg_grad(N, D, 0.5), ValueError, "N2 | diagonal | cov="),
    "a dual gradient of one": (lambda: jsg_dual_grad(D, N, 0.5), ValueError, "N1 | diagonal | cov="),
}


def table(*tables):
    cases = [(name, *case) for entries in tables for name, case in entries.items()]
    return pytest.mark.parametrize(
        ("call", "exception", "fragments"), [case[1:] for case in cases], ids=[case[0] for case in cases]
    )


@table(ALPHA, CONVENTION, SCALE, MEAN, MATRIX, SHAPE, KIND)
def test_bad_input_is_refused_with_a_reason(call, exception, fragments):
    assert_refused(call, exception, fragments)


def assert_refused(call, exception, fragments):
    with pytest.raises(exception) as caught:
        call()
    text = str(caught.value)
    assert all(fragment in text for fragment in fragments.split(" | ")), text
    assert "\n" not in text
    assert caught.type is exception  # not LinAlgError, a ValueError without a helpful message


def test_every_function_refuses_other_types():
    for function in (jsg, jsg_dual, bhattacharyya, geometric_mean, jsg_grad, jsg_dual_grad):
        for arguments in (((0, 1), N, 0.5), (N, (0, 1), 0.5)):
            with pytest.raises(TypeError, match=r"must be a jsgmath\.Gaussian .* got tuple"):
                function(*arguments)


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", "<f2"])
def test_numbers_of_other_byte_orders_and_half_precision_are_converted(dtype):
    """180,000 does not fit into float16."""
    mean, var = np.array([0.0, 300.0], dtype), np.ones(2, dtype)
    for scale in ({"var": var}, {"cov": np.diag(var)}):
        value = kl(Gaussian(mean, **scale), Gaussian(-mean, **scale))
        assert value == 180000
        assert value.dtype == (np.float64 if "8" in dtype else np.float32)


def test_integers_that_float64_holds_and_numbers_without_a_unit_are_accepted():
    whole = Gaussian([2**60, -(2**53)], var=1.0)
    assert kl(whole, Gaussian([2**60 - 2**8, -(2**53)], var=1.0)) == 2**15
    plain = Metres([1.0, 0.0])
    plain.unit = ""
    assert kl(Gaussian(plain, var=1.0), N) == 0.5


def test_a_weight_may_be_a_fraction():
    assert jsg(N, D, Fraction(1, 4)) == jsg(N, D, 0.25)


def test_numpys_error_state_does_not_matter():
    """Overflow and underflow inside the functions are expected, so they neither warn nor raise."""
    small = Gaussian(np.float32([0, 3e38]), std=np.float32([1e-30, 1e30]))
    large = Gaussian(np.float32([0, 1]), var=np.float32([1e38, 1e-38]))
    scales = Gaussian([0.0, 0.0], std=[1e-200, 1e200])
    with np.errstate(all="raise"):
        assert (jsg_grad(small, large, 0.5).mean1[1] == np.inf) & np.isinf(kl(small, large))
        assert geometric_mean(Gaussian([1e-300], var=[1.0]), Gaussian([0.0], var=[1.0]), 1.0).mean == 0
        with pytest.raises(ValueError, match="not symmetric"):
            Gaussian(0.0, cov=[[0.0, 0.5], [0.2, 0.0]])
        assert np.isfinite(scales.logvar).all()
        assert scales.scale_tril.tolist() == [[1e-200, 0], [0, 1e200]]


def test_the_rounding_of_a_product_does_not_count_as_asymmetry():
    """``a @ b @ a.T`` is symmetric only up to rounding, and is made symmetric."""
    rng = np.random.default_rng(1)
    for dtype in (np.float64, np.float32):
        a = rng.normal(size=(30, 30)).astype(dtype)
        product = np.einsum("ij,jk,lk->il", a, np.diag(rng.uniform(1, 2, 30)).astype(dtype), a, optimize=False)
        product = product + np.tril(product, -1) * np.finfo(dtype).eps + np.eye(30, dtype=dtype)
        assert (product != product.T).any()
        cov = Gaussian(0.0, cov=product.astype(dtype)).cov
        assert (cov == cov.T).all()


def test_a_covariance_of_condition_1e8_is_not_singular():
    N = Gaussian(0.0, cov=[[1.0, 1 - 1e-8], [1 - 1e-8, 1.0]])
    assert jsgmath.kl(N, N) == 0


def test_covariances_of_any_units_are_accepted():
    for variances in ([1e300, 1e-300], [1e-300, 1e-299], [1e300, 1e300]):
        assert Gaussian(0.0, cov=np.diag(variances)).var.tolist() == variances
