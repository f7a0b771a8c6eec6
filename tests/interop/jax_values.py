"""Prints values from distributions of JAX's libraries as JSON, for `test_jax.py`.

It runs in a process of its own, because JAX starts threads, after which the processes of other tests cannot be forked.
"""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats as st

import jsgmath
from jsgmath import families

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the libraries raise warnings about themselves
    import distrax as dx
    import numpyro.distributions as nd
    import tensorflow_probability.substrates.jax.distributions as tj
    import tensorflow_probability.substrates.numpy.distributions as tn

jax.config.update("jax_enable_x64", True)
warnings.simplefilter("error")
MEANS, STDS = np.array([[0.0, 1.0], [0.5, -1.0]]), np.array([[1.0, 2.0], [0.7, 1.5]])
ALPHAS = (0.0, 0.3, 1.0)
MIXED = 0.3, -0.847297860388, 1e8

DIAGONAL = {
    "NumPyro Normal": lambda m, s: nd.Normal(jnp.array(m), jnp.array(s)).to_event(1),
    "distrax MultivariateNormalDiag": lambda m, s: dx.MultivariateNormalDiag(jnp.array(m), jnp.array(s)),
    "distrax Independent": lambda m, s: dx.Independent(dx.Normal(jnp.array(m), jnp.array(s)), 1),
    "TFP MultivariateNormalDiag": lambda m, s: tj.MultivariateNormalDiag(jnp.array(m), jnp.array(s)),
    "TFP Independent": lambda m, s: tj.Independent(tj.Normal(jnp.array(m), jnp.array(s)), 1),
}
NUMPY = {
    "NumPyro MultivariateNormal": lambda m, s: nd.MultivariateNormal(jnp.array(m), scale_tril=jnp.diag(s)),
    "NumPyro LowRankMultivariateNormal": lambda m, s: nd.LowRankMultivariateNormal(
        jnp.array(m), jnp.zeros((2, 1)), jnp.array(s) ** 2
    ),
    "distrax MultivariateNormalTri": lambda m, s: dx.MultivariateNormalTri(jnp.array(m), jnp.diag(s)),
    "distrax MultivariateNormalFullCovariance": lambda m, s: dx.MultivariateNormalFullCovariance(
        jnp.array(m), jnp.diag(s**2)
    ),
    "TFP MultivariateNormalFullCovariance": lambda m, s: tj.MultivariateNormalFullCovariance(m, np.diag(s**2)),
    "TFP of NumPy, MultivariateNormalTriL": lambda m, s: tn.MultivariateNormalTriL(m, np.diag(s)),
    "TFP of NumPy, MultivariateNormalDiag": lambda m, s: tn.MultivariateNormalDiag(m, s),
    "TFP of NumPy, Independent": lambda m, s: tn.Independent(tn.Normal(m, s), 1),
}


def values(make):
    pair = [make(m, s) for m, s in zip(MEANS, STDS, strict=True)]
    results = [f(*pair, alpha) for f in (jsgmath.jsg, jsgmath.jsg_dual) for alpha in ALPHAS]
    return {"type": type(results[0]).__module__.partition(".")[0], "values": [float(x) for x in results]}


def loss(mean, std, alpha):
    prior = nd.Normal(jnp.zeros(2), jnp.ones(2)).to_event(1)
    return jsgmath.jsg(nd.Normal(mean, std).to_event(1), prior, alpha)


def near(std):
    """A divergence between normals that differ by 1e-10."""
    return jsgmath.jsg_dual(nd.Normal(jnp.zeros(2), std), nd.Normal(jnp.zeros(2), STDS[1] * (1 + 1e-10)), 0.3).sum()


def refusal(call):
    try:
        call()
    except TypeError as error:
        return str(error)


def dense_loss(mean):
    normals = [nd.MultivariateNormal(m, scale_tril=jnp.eye(2)) for m in (mean, mean + 1)]
    return jsgmath.jsg(*normals, 0.3)


class Own(nd.Gamma):
    """A user's own class."""


def kls():
    """KLs of distributions that belong to a family under another name, and those of the family by `numpy`."""
    x, y = np.array([0.5, 2.0]), np.array([1.5, 0.25])
    X, Y, W = jnp.array(x), jnp.array(y), np.array([[1.0], [0.5]])
    F, kl = jsgmath.families, jsgmath.kl
    covariances, V = [np.diag(z) + W @ W.T for z in (x, y)], np.array([[1.5, 0.0], [0.5, 0.7]])
    pairs = {
        "TFP Poisson by its log-rate": [
            [tj.Poisson(log_rate=z) for z in (X, Y)],
            [F.Poisson(np.exp(z)) for z in (x, y)],
        ],
        "TFP Gamma by its log-rate": [
            [tj.Gamma(z, log_rate=w) for z, w in ((X, Y), (Y, X))],
            [F.Gamma(z, np.exp(w)) for z, w in ((x, y), (y, x))],
        ],
        "TFP ExpGamma": [[tj.ExpGamma(z, 2.0 * z) for z in (X, Y)], [F.Gamma(z, 2.0 * z) for z in (x, y)]],
        "TFP ExpInverseGamma": [[tj.ExpInverseGamma(z, z) for z in (X, Y)], [F.Gamma(z, z) for z in (x, y)]],
        "TFP low rank by its covariance": [
            [tn.MultivariateNormalDiagPlusLowRankCovariance(z, w, W) for z, w in ((x, x), (y, y))],
            [jsgmath.Gaussian(z, cov=S) for z, S in zip((x, y), covariances, strict=True)],
        ],
        "NumPyro NegativeBinomial2": [
            [nd.NegativeBinomial2(z, 3.0) for z in (X, Y)],
            [F.Geometric(probs=3.0 / (3.0 + z)).repeated(3.0) for z in (x, y)],
        ],
        "NumPyro, plain integers and a user's class": [
            [nd.Gamma(1, 2), Own(3, jnp.array([1, 2]))],
            [F.Gamma(1, 2), F.Gamma(3, [1, 2])],
        ],
        "NumPyro InverseWishart": [
            [nd.InverseWishart(4.0, jnp.array(S)) for S in covariances],
            [st.invwishart(4, S) for S in covariances],
        ],
        "NumPyro MultivariateNormal, expanded": [
            [nd.MultivariateNormal(z, jnp.array(S)).expand([2]) for z, S in zip((X, Y), covariances, strict=True)],
            [jsgmath.Gaussian([z, z], cov=S) for z, S in zip((x, y), covariances, strict=True)],
        ],
        "distrax Dirichlet of two libraries": [[dx.Dirichlet(x), dx.Dirichlet(Y)], [F.Dirichlet(x), F.Dirichlet(y)]],
        "distrax, Gaussians by different linear maps": [
            [dx.MultivariateNormalFromBijector(X, z) for z in (dx.DiagLinear(Y), dx.TriangularLinear(jnp.array(V)))],
            [jsgmath.Gaussian(x, std=y), jsgmath.Gaussian(x, scale_tril=V)],
        ],
        "TFP without a mean": [
            [tj.MultivariateNormalDiag(scale_diag=Y), tj.MultivariateNormalTriL(scale_tril=jnp.array(V))],
            [jsgmath.Gaussian(0.0, std=y), jsgmath.Gaussian(0.0, scale_tril=V)],
        ],
        "distrax, equal bijectors": [
            [dx.Transformed(dx.Normal(z, w), dx.ScalarAffine(float("1"), 2.0)) for z, w in ((X, Y), (Y, X))],
            [jsgmath.Gaussian(z[:, None], std=w[:, None]) for z, w in ((x, y), (y, x))],
        ],
    }
    return {name: [np.asarray(kl(*pair), float).tolist() for pair in both] for name, both in pairs.items()}


def numpy_loss(mean):
    return jsgmath.kl(jsgmath.Gaussian(mean, var=1.0), jsgmath.Gaussian(0.0, var=[1.0]))


REFUSED = {
    "Logistic": lambda: tj.Logistic(0.0, 1.0),
    "StudentT": lambda: nd.StudentT(3.0),
    "Sample": lambda: tj.Sample(tj.Normal(0.0, 1.0), 3),
    "Joint": lambda: dx.Joint({"z": dx.Normal(0.0, 1.0)}),
    "a traced array": lambda: jax.grad(numpy_loss)(jnp.zeros(1)),
    "VonMises": lambda: dx.VonMises(0.0, 1.0),
}
arguments = jnp.array(MEANS[1]), jnp.array(STDS[1]), 0.3
batch = [jnp.stack([x, 2 * x]) for x in arguments[:2]]


def categorical():
    """Divergences of close members, compiled, in float32 and then in float64."""
    logits = jnp.array([[0.1, 1.4, -2.5], [0.4, 2.7, 0.6]], jnp.float32)
    others = logits * (1 + jnp.array([3e-6, -4e-6, 1e-6], jnp.float32))

    def divergence(*logits):
        pair = (jsgmath.families.Categorical(logits=x) for x in logits)
        return jsgmath.jsg_dual(*pair, 0.3, convention="nielsen")

    exact = (x.astype(jnp.float64) for x in (logits, others))
    return jnp.stack([jax.jit(divergence)(logits, others).astype(jnp.float64), divergence(*exact)])


def tiny(p):
    return jsgmath.jsg_dual(jsgmath.families.Geometric(p), jsgmath.families.Geometric(jnp.float32(1.2e-38)), 0.3)


@jax.jit
def far(shapes, rates, first, second, odds):
    """A divergence of shapes far apart, and derivatives of families with outcomes or odds far apart, compiled."""

    def outcomes(x):
        pair = families.Categorical(logits=first), families.Categorical(logits=x)
        return jsgmath.jsg_dual(*pair, 0.5, convention="nielsen")

    def successes(x):
        pair = families.Geometric(logits=x), families.Geometric(logits=odds[1])
        return jsgmath.jsg_dual(*pair, 0.3, convention="nielsen")

    return (
        jsgmath.kl(families.Gamma(shapes[0], rates[0]), families.Gamma(shapes[1], rates[1])),
        jax.grad(outcomes)(second),
        jax.grad(successes)(odds[0]),
    )


@jax.jit
def mixed(probability, log_odds, far_log_odds):
    """Divergences between a probability and log-odds that are nearly equal to its own, or far from them, compiled."""
    first = families.Bernoulli(probability)
    return [jsgmath.jsg(first, families.Bernoulli(logits=x), 0.3) for x in (log_odds, far_log_odds)]


def operations(program):
    """The number of operations of a traced program, with those of the programs in it."""
    parts = [part for e in program.eqns for part in e.params.values() if hasattr(part, "jaxpr")]
    return len(program.eqns) - len(parts) + sum(operations(part.jaxpr) for part in parts)


def dirichlet(x, y):
    return jsgmath.jsg(families.Dirichlet(x), families.Dirichlet(y), jnp.array(0.3))


FAR = (
    [8.988465674311579e307, 8.346344093485364e-212],
    [7.001232543927164e50, 1.583207566296559e-275],
    [1.1143264854354247, 0.007219572698630104, -0.02352471089108165],
    [1.1143264854354245, -718.1703043171539, -0.023524710891081647],
    [709.0, -1.5631591951386243],
)
mean = jsgmath.geometric_mean(nd.Normal(0.0, 1.0), nd.Normal(3.0, 1.0), 0.5)
expanded = nd.Normal(0.0, 1.0).expand([2]).to_event(1)
print(
    json.dumps(
        {
            "diagonal": {name: values(make) for name, make in DIAGONAL.items()},
            "numpy": {name: values(make) for name, make in NUMPY.items()},
            "gradient": [np.asarray(x).tolist() for x in jax.grad(loss, (0, 1, 2))(*arguments)],
            "jitted gradient": [np.asarray(x).tolist() for x in jax.jit(jax.grad(loss, (0, 1, 2)))(*arguments)],
            "jitted": float(jax.jit(loss)(*arguments)),
            "value": float(loss(*arguments)),
            "mapped": np.asarray(jax.vmap(loss, (0, 0, None))(*batch, 0.3)).tolist(),
            "one by one": [float(loss(m, s, 0.3)) for m, s in zip(*batch, strict=True)],
            "near": float(near(jnp.array(STDS[1]))),
            "near gradient": np.asarray(jax.grad(near)(jnp.array(STDS[1]))).tolist(),
            "expanded": float(jsgmath.kl(expanded, nd.Normal(jnp.ones(2), jnp.ones(2)).to_event(1))),
            "plain numbers": float(jsgmath.kl(nd.Normal(0.0, 1.0), nd.Normal(1.0, 1.0))),
            "diagonal and full": float(jsgmath.kl(expanded, nd.MultivariateNormal(jnp.ones(2), scale_tril=jnp.eye(2)))),
            "compiled categorical": categorical().tolist(),
            "tiny geometric": [x.tolist() for x in jax.jit(jax.value_and_grad(tiny))(jnp.float32(1.2e-38))],
            "many": float(jsgmath.jsg_many([nd.Normal(m, 1.0) for m in (0.0, 1.0, 2.0)], [0.25, 0.5, 0.25])),
            "far": [
                float(jsgmath.jsg_many([nd.Normal(m, 1.0) for m in (1e9, 0.0, 1.0, 2.0)], weights))
                for weights in ([0.0, 0.1, 0.8, 0.1], jnp.array([0.0, 0.1, 0.2, 0.7]))
            ],
            "mixed": np.asarray(mixed(*jnp.array(MIXED))).tolist(),
            "ends": [np.asarray(x).tolist() for x in far(*map(jnp.array, FAR))],
            "operations": operations(
                jax.make_jaxpr(jax.grad(dirichlet, (0, 1)))(*jnp.array([[1.0, 2.0], [3.0, 1.0]])).jaxpr
            ),
            "float32": str(jsgmath.kl(*(nd.Normal(jnp.float32(m), jnp.float32(1)) for m in (0, 1))).dtype),
            "families": kls(),
            "refused": {name: refusal(lambda make=make: jsgmath.kl(make(), make())) for name, make in REFUSED.items()},
            "traced dense": refusal(lambda: jax.grad(dense_loss)(jnp.zeros(2))),
            "mean": [
                float(x)
                for x in jsgmath.geometric_mean(nd.Normal(0.0, 1.0), nd.Normal(3.0, 1.0), 0.5).parameters.values()
            ],
        }
    )
)
