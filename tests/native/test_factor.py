"""Small covariances, which the core factors, get the same results and errors as in NumPy."""

import numpy as np
import pytest

from jsgmath import Gaussian, native

rng = np.random.default_rng(7)


def covariances(n, count=20):
    factors = rng.normal(size=(count, n, n + 3))
    return factors @ factors.mT


def plain_factor(matrix):
    """The Cholesky factor by its definition, in Python's floats."""
    L = [[0.0] * len(matrix) for _ in matrix]
    for i, row in enumerate(matrix):
        for j in range(i + 1):
            rest = row[j]
            for k in range(j):
                rest -= L[i][k] * L[j][k]
            L[i][j] = float(np.sqrt(rest)) if i == j else rest / L[j][j]
    return L


@pytest.mark.parametrize("n", [1, 2, 3, 7, native.LARGEST_FACTORED])
def test_factors_have_the_bits_of_the_definition_on_every_machine(core, monkeypatch, n):
    monkeypatch.setattr(native, "CORE", native.open_core(core)[0])
    S = covariances(n)
    factors = native.factored(S)
    assert factors is not None
    assert factors.tolist() == [plain_factor(matrix) for matrix in S.tolist()]
    assert Gaussian(np.zeros(n), cov=S).factor.tobytes() == factors.tobytes()


def outcome(S, form):
    try:
        N = Gaussian(np.zeros(S.shape[-1]), **{form: S})
    except ValueError as error:
        return str(error)
    return N.scale.tolist()


def hard_matrices():
    yield np.array([[-1.0]])
    yield np.array([[0.0]])
    yield np.array([[1.0, 0.5], [0.5, -3.0]])
    yield np.array([[1.0, 0.5], [0.5 + 1e-15, 1.0]])  # its symmetric part is used
    yield np.array([[1.0, 0.5], [0.6, 1.0]])
    yield np.array([[5e-324]])
    yield np.array([[1e308, 9e307], [9e307, 1e308]])
    for n in (1, 2, 3, 5, native.LARGEST_FACTORED, native.LARGEST_FACTORED + 1):
        for power in range(0, 60, 4):  # down to singular ones and beyond
            S = covariances(n, 4)
            S[2] = np.ones((n, n)) + np.eye(n) * 2.0**-power
            yield S
            S[2] -= 2 * np.eye(n) * 2.0**-power
            yield S


@pytest.mark.parametrize("form", ["cov", "precision"])
def test_the_same_matrices_are_accepted_and_refused_by_the_same_messages(core, monkeypatch, form):
    results = []
    for S in hard_matrices():
        given = S.copy()
        found = []
        for compiled in (native.open_core(core)[0], None):
            monkeypatch.setattr(native, "CORE", compiled)
            found.append(outcome(S, form))
        assert found[0] == found[1]
        assert (given == S).all()
        results.append(found[0])
    refused = [result for result in results if isinstance(result, str)]
    assert 40 < len(refused) < len(results) - 40
