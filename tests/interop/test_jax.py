"""NumPyro, distrax and TFP with gradients, compilation and vmap of JAX, against the same Gaussians as `Gaussian`."""

import numpy as np
import pytest

from jsgmath import Gaussian, jsg, jsg_dual, jsg_dual_grad, jsg_grad
from jsgmath.families import Bernoulli

MEANS, STDS = np.array([[0.0, 1.0], [0.5, -1.0]]), np.array([[1.0, 2.0], [0.7, 1.5]])
NORMALS = [Gaussian(mean, std=std) for mean, std in zip(MEANS, STDS, strict=True)]
EXPECTED = [f(*NORMALS, alpha) for f in (jsg, jsg_dual) for alpha in (0.0, 0.3, 1.0)]
PRIOR = Gaussian(np.zeros(2), std=1.0)


@pytest.fixture(scope="module")
def found(printed):
    return printed("tests.interop.jax_values")


def test_normals_of_jax_give_jax_arrays(found):
    assert len(found["diagonal"]) == 5
    for name, result in found["diagonal"].items():
        assert result["type"] == "jaxlib", name
        # The limit is that of float64 and its exp2 and log.
        np.testing.assert_allclose(result["values"], EXPECTED, rtol=1e-14, err_msg=name)


def test_full_covariances_and_normals_of_numpy_give_numpy_numbers(found):
    assert len(found["numpy"]) == 8
    for name, result in found["numpy"].items():
        assert result["type"] == "numpy", name
        np.testing.assert_allclose(result["values"], EXPECTED, rtol=1e-14, err_msg=name)


def test_jax_differentiates_compiles_and_maps(found):
    exact = jsg_grad(NORMALS[1], PRIOR, 0.3)
    expected = exact.mean1, exact.logvar1 * 2 / STDS[1], exact.alpha
    for name in ("gradient", "jitted gradient"):
        for value, reference in zip(found[name], expected, strict=True):
            np.testing.assert_allclose(value, reference, rtol=1e-13, err_msg=name)
    value = jsg(NORMALS[1], PRIOR, 0.3)
    assert found["value"] == pytest.approx(value, rel=1e-14)
    assert found["jitted"] == pytest.approx(value, rel=1e-14)
    assert found["mapped"] == pytest.approx(found["one by one"], rel=1e-14)


def test_near_equal_normals_of_jax_lose_no_digits(found):
    first, second = (Gaussian(np.zeros((2, 1)), std=std[:, None]) for std in (STDS[1], STDS[1] * (1 + 1e-10)))
    assert found["near"] == pytest.approx(jsg_dual(first, second, 0.3).sum(), rel=1e-14)
    gradient = jsg_dual_grad(first, second, 0.3).logvar1[:, 0] * 2 / STDS[1]
    np.testing.assert_allclose(found["near gradient"], gradient, rtol=1e-14)


def test_compiled_divergences_of_families_in_float32_lose_nothing_and_are_not_nan(found):
    """XLA replaces 1/exp(t) by exp(-t), and subnormal numbers by 0."""
    compiled, exact = found["compiled categorical"]
    np.testing.assert_allclose(compiled, exact, rtol=1e-6)  # of 1e-12, where 2.3 ulp were measured
    assert found["tiny geometric"] == [0.0, 0.0]


def test_compiled_families_are_right_at_the_ends_of_the_range(found):
    """Errors in the past: 1/shape became 0, a common part left its rounding in log ratios, and odds were multiplied."""
    divergence, (first, _, last), odds = found["ends"]
    assert divergence == pytest.approx(839.1520604280747, rel=16 * 2.0**-52)
    # The expected numbers have 200 digits: differences of close logits next to a far one, and a tiny derivative.
    assert [first, last] == pytest.approx([-1.0362623340876521e-17, 1.0362623340876521e-17], rel=16 * 2.0**-52, abs=0)
    assert odds == pytest.approx(1.9053194037746524e-216, rel=16 * 2.0**-52, abs=0)


def test_a_probability_and_log_odds_are_compared_in_twice_the_precision_by_compiled_code(found):
    """XLA replaces (1 + x) - 1 by x, and so loses the rounding error of 1 + x."""
    first, log_odds = Bernoulli(0.3), (-0.847297860388, 1e8)
    wanted = [float(jsg(first, Bernoulli(logits=x), 0.3)) for x in log_odds]
    np.testing.assert_allclose(found["mixed"], wanted, rtol=25 * 2.0**-52)


def test_numpyro_distributions_of_plain_numbers_and_expanded_ones_are_accepted(found):
    assert found["plain numbers"] == 0.5
    assert found["expanded"] == 1.0
    assert found["diagonal and full"] == 1.0
    assert found["many"] == 0.25
    assert found["far"] == pytest.approx([0.1, 0.22], rel=1e-15)  # the first has weight zero
    assert found["mean"] == [1.5, 1.0]
    assert found["float32"] == "float32"


def test_a_traced_full_covariance_is_refused_with_a_reason(found):
    assert "full covariances of JAX arrays are computed by NumPy" in found["traced dense"]
    assert "Normal, Independent and MultivariateNormalDiag" in found["traced dense"]


def test_distributions_of_a_family_under_another_name_have_its_divergences(found):
    assert len(found["families"]) == 13
    for name, (values, expected) in found["families"].items():
        # The limit is that of float64, in which logarithms of rates, logits and covariances are converted.
        np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=name)


def test_the_refusal_of_a_distribution_names_the_nearest_thing(found):
    nearest = {
        "Logistic": "the nearest one is Laplace",
        "StudentT": "the nearest family is Normal",
        "Sample": "pass its distribution, and multiply",
        "Joint": "pass its parts, and add",
        "VonMises": "the nearest Gaussian has the same mean and variance",
    }
    for name, text in nearest.items():
        assert f"N1 is a {name}, which has no closed form here; {text}" in found["refused"][name]
    traced = found["refused"]["a traced array"]
    assert "mean must be an array of real numbers, got" in traced
    assert "for derivatives in JAX, pass distributions" in traced


def test_the_program_of_dirichlet_gradients_is_short(found):
    assert found["operations"] < 5000  # it compiles in some seconds; with 17,400 it took a quarter of a minute
