"""Calls of functions whose bits are committed: families, low rank, several Gaussians, and derivatives.

``python -m tests.native.calls`` writes ``calls.jsonl``; ``bits.csv`` does the same for pairs of Gaussians.
A line is a call as `recompute.py` reads it: the function, its distributions (class, type and parameters), its keywords,
and its values. Python prints the shortest digits that give the same float, so decimals lose nothing.
"""

import json
import struct
import sys
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from jsgmath import native
from tests.native import recompute
from tests.native.points import Point, random_points
from tests.reduction.test_full import covariance, nearby
from verification import members

BITS = Path(__file__).with_name("calls.jsonl")
# Name in `members.FORMS` -> the class and its parameters; a star marks a vector.
FAMILIES = {
    "Poisson": ("Poisson", "rate"),
    "Geometric": ("Geometric", "probs"),
    "Bernoulli": ("Bernoulli", "probs"),
    "Bernoulli, logits": ("Bernoulli", "logits"),
    "Categorical": ("Categorical", "*probs"),
    "Categorical, logits": ("Categorical", "*logits"),
    "Exponential": ("Exponential", "rate"),
    "Exponential, scale": ("Exponential", "scale"),
    "Gamma": ("Gamma", "shape", "rate"),
    "Gamma, scale": ("Gamma", "shape", "scale"),
    "Beta": ("Beta", "a", "b"),
    "Dirichlet": ("Dirichlet", "*concentration"),
}
NAMES = {name for name, *_ in FAMILIES.values()}
# Parameters of the smallest and largest sizes, for opposite ends of the range; `members.hard` has the others.
ENDS = {
    "Poisson": [(0.0,), (5e-324,), (1e-300,), (1e300,)],
    "Geometric": [(5e-324,), (1e-16,), (1 - 2**-53,), (1.0,)],
    "Bernoulli": [(0.0,), (5e-324,), (1 - 2**-53,), (1.0,)],
    "Bernoulli, logits": [(-1e300,), (-800.0,), (5e-324,), (1e300,)],
    "Categorical": [(1e-300, 1e300, 1.0), (1e300, 1e-300, 1.0), (0.0, 1.0, 1e-320), (1.0, 0.0, 3.0)],
    "Categorical, logits": [(-1e300, 0.0, 7.0), (-700.0, 700.0, 0.0), (-np.inf, 0.0, 1e-300), (1e300, 0.0, 0.0)],
    "Exponential": [(5e-324,), (1e-300,), (1.0,), (1e300,)],
    "Exponential, scale": [(5e-324,), (1e-300,), (1.0,), (1e300,)],
    "Gamma": [(1e-300, 1e300), (1e300, 1e-300), (5e-324, 1.0), (1e16, 1e-200)],
    "Gamma, scale": [(1e-300, 1e300), (1e-300, 1e-300), (5e-324, 1.0), (1e16, 1e200)],
    "Beta": [(1e-300, 1e300), (1e300, 1e-300), (5e-324, 1.0), (1e16, 1e16)],
    "Dirichlet": [(1e-300, 1e300, 1.0), (1.7e308, 1.7e308, 1e-300), (1e-320, 1e-320, 3.5), (1e12, 1e-3, 5.0)],
}
ALPHAS = (0.0, 1e-300, 1e-20, 0.1, 0.3, 0.5, 1 - 2.0**-53, 1.0)


Distribution = tuple[str, str, dict[str, Any]]


class Call(NamedTuple):
    function: str
    distributions: list[Distribution]
    keywords: dict[str, Any]


def family_calls(rng: np.random.Generator) -> Iterator[Call]:
    """Calls for ordinary, near-equal and hard members, opposite ends of the range, and both forms of a family."""
    for form in FAMILIES:
        pairs = [members.ordinary(form, 5 + i, distance) for i, distance in enumerate((1.0, 1.0, 1e-3, 1e-9, 1e-14))]
        hard = members.hard(form)
        pairs += [hard[i] for i in rng.choice(len(hard), 8, replace=False)] + [*pairwise(ENDS[form])]
        yield from (_family_call(rng, (form, form), pair, np.float64) for pair in pairs)
        moderate = [pair for pair in hard if all(1e-30 < abs(x) < 1e30 for side in pair for x in side)]
        singles = [*pairs[:3], moderate[0], moderate[-1]]
        yield from (_family_call(rng, (form, form), pair, np.float32) for pair in singles)
    for form, suffix in product(("Bernoulli", "Categorical", "Exponential", "Gamma"), ("logits", "scale")):
        if (other := f"{form}, {suffix}") in FAMILIES:
            for seed in range(3):
                pair = members.ordinary(form, seed)[0], members.ordinary(other, seed)[1]
                yield _family_call(rng, (form, other), pair, np.float64)
    for _ in range(3):
        numbers = {"logits": rng.normal()}, {"probs": rng.uniform(0.1, 0.9)}
        yield _call(rng, [("Geometric", "float64", x) for x in numbers])


def _family_call(rng: np.random.Generator, forms: tuple[str, str], pair: Any, dtype: Any) -> Call:
    made = []
    for form, numbers in zip(forms, pair, strict=True):
        kind, *names = FAMILIES[form]
        values = dtype(numbers).tolist()
        vector = names[0].startswith("*")
        parameters = {names[0][1:]: values} if vector else dict(zip(names, values, strict=True))
        made.append((kind, np.dtype(dtype).name, parameters))
    return _call(rng, made)


def _call(rng: np.random.Generator, distributions: list[Distribution]) -> Call:
    function = str(rng.choice(["jsg", "jsg", "jsg_dual", "jsg_dual", "kl", "jeffreys"]))
    if function in ("kl", "jeffreys"):
        return Call(function, distributions, {})
    alpha = float(rng.choice(ALPHAS)) if rng.integers(2) else rng.uniform()
    return Call(function, distributions, {"alpha": alpha, "convention": str(rng.choice(["deasy", "nielsen"]))})


def many_calls(rng: np.random.Generator) -> Iterator[Call]:
    """Calls for three and four Gaussians, far and near: diagonal ones over the whole range, and full covariances."""
    diagonal = [point for point in random_points(19, 6) if len(point.numbers) == 1]
    for first, second in pairwise(diagonal[:40]):
        sides = [
            (p.numbers[0][i], form, p.numbers[0][i + 1])
            for p in (first, second)
            for i, form in ((0, p.form1), (2, p.form2))
        ]
        gaussians = [("Gaussian", "float64", {"mean": [mean], form: [scale]}) for mean, form, scale in sides]
        yield _many_call(rng, gaussians[: rng.integers(3, 5)])
    for n, distance in product((2, 3), (0.3, 1e-3, 1e-9)):
        matrix = covariance(rng, n, 1e4)
        matrices = [nearby(rng, matrix, distance) for _ in range(3)]
        means = rng.normal(size=n) + distance * rng.normal(size=(3, n))
        parameters = [{"mean": m.tolist(), "cov": S.tolist()} for m, S in zip(means, matrices, strict=True)]
        yield _many_call(rng, [("Gaussian", "float64", x) for x in parameters])


def _gaussians(point: Point) -> list[Distribution]:
    """The two Gaussians of a point."""
    m1, s1, m2, s2 = np.array(point.numbers).T.tolist()
    sides = (m1, point.form1, s1), (m2, point.form2, s2)
    return [("Gaussian", "float64", {"mean": mean, form: scale}) for mean, form, scale in sides]


def _many_call(rng: np.random.Generator, gaussians: list[Distribution]) -> Call:
    weights = rng.dirichlet(np.full(len(gaussians), rng.choice([0.2, 2.0]))).tolist()
    return Call("jsg_many", gaussians, {"weights": weights, "dual": bool(rng.integers(2))})


def gradient_calls(rng: np.random.Generator) -> Iterator[Call]:
    """Calls for derivatives by all parameters, over the whole range."""
    for point in random_points(20, 4):
        function = str(rng.choice(["jsg_grad", "jsg_dual_grad"]))
        keywords = {"alpha": point.alpha, "convention": str(rng.choice(["deasy", "nielsen"]))}
        yield Call(function, _gaussians(point), keywords)


def low_rank_calls(rng: np.random.Generator) -> Iterator[Call]:
    """Calls for factors of ordinary and large size, far and near, with more columns than rows and with fewer."""
    for (n, k), size, gap in product(((1, 1), (3, 5), (4, 2)), (1.0, 1e6), (None, 1e-3, 1e-9)):
        first, other = (
            (rng.normal(size=n), scale * rng.normal(size=(n, k)), 10 ** rng.uniform(-2, 1, n)) for scale in (size, 1.0)
        )
        second = other if gap is None else [x * (1 + gap * rng.normal(size=x.shape)) for x in first]
        names = "mean", "factor", "diagonal"
        parameters = [{a: x.tolist() for a, x in zip(names, N, strict=True)} for N in (first, second)]
        yield _call(rng, [("LowRankMultivariateNormal", "float64", x) for x in parameters])


def committed() -> Iterator[tuple[Call, list[float]]]:
    """The calls of the file, each with its values."""
    for line in BITS.read_text().splitlines():
        *call, values = json.loads(line)
        yield Call(*call), values


def of_many_diagonal(call: Call) -> bool:
    """Whether a call computes a divergence of several diagonal Gaussians."""
    return call.function == "jsg_many" and "cov" not in call.distributions[0][2]


def batches() -> tuple[list[Any], list[float]]:
    """The arguments of `native.families` for the calls of families, and the values of these calls."""
    asked: list[Any] = []
    wanted: list[float] = []

    def record(*batch: Any) -> tuple[np.ndarray, int]:
        asked.append(batch)
        return np.zeros(()), 0

    with mock.patch.object(native, "CORE", mock.Mock()), mock.patch.object(native, "families", record):
        for call, values in committed():
            if call.distributions[0][0] in NAMES:
                count = len(asked)
                recompute.computed(*call)
                wanted += values if len(asked) > count else []
    return asked, wanted


def packed() -> tuple[bytes, list[float]]:
    """The calls of families and of several diagonal Gaussians, in the format that `evaluate.cpp` reads."""
    read: list[bytes] = []

    def pack(shape: bytes, *arguments: Any) -> int:
        *arrays, _, _, _ = arguments
        read.append(struct.pack("<11i", *6 * [0], 2, *(len(x) // 8 for x in arrays[:4])) + shape + b"".join(arrays))
        return 0

    asked, wanted = batches()
    for batch in asked:
        native.families(*batch, core=mock.Mock(families=pack, place=0))

    def pack_many(forms: Any, means: Any, scales: Any, weights: Any, dual: bool, *more: Any) -> tuple[np.ndarray, int]:
        shape, n, single = more
        arrays = [native.FORMS[form] for form in forms], *means, *scales, weights
        sizes = [len(forms), n * len(forms), n * len(forms), weights.size - 1]
        read.append(struct.pack("<11i", n, 0, 0, dual, 0, single, 3, *sizes))
        read.append(np.concatenate([np.ravel(x).astype(float) for x in arrays]).tobytes())
        return np.zeros(shape), 0

    with mock.patch.object(native, "CORE", mock.Mock()), mock.patch.object(native, "many", pack_many):
        for call, values in committed():
            if of_many_diagonal(call):
                recompute.computed(*call)
                wanted += values
    return b"".join(read), wanted


def main() -> None:
    rng = np.random.default_rng(18)
    with open(BITS, "w") as file:
        for calls in (family_calls, many_calls, gradient_calls, low_rank_calls):
            for call in calls(rng):
                print(json.dumps([*call, recompute.computed(*call)]), file=file)


if __name__ == "__main__":
    sys.exit(main())
