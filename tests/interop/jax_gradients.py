"""Prints gradients of the gamma families in JAX as JSON, for `test_gamma_gradients.py`, which uses the same pairs."""

import functools
import json

PAIRS = {
    "Gamma": [
        (1e-8, 1.0, 1.0, 1.0),
        (1e-18, 1e-12, 2.0, 1e-3),
        (3.0, 2.0, 3.0 * (1 + 1e-7), 2.0 * (1 + 1e-6)),
        (1e14, 1e12, 1e-4, 0.5),
        (0.02, 1e15, 7.0, 1e15),
    ],
    "Beta": [
        (1e-8, 1.0, 1.0, 1.0),
        (1e-17, 1e-18, 1e-2, 3.0),
        (2.0, 5.0, 2.0 * (1 + 1e-7), 5.0),
        (6e10, 3e-10, 6.2e10, 1.8),
        (2e-16, 3e6, 2e-16 * (1 + 1e-3), 3e6),
    ],
    "Dirichlet": [
        (1e-8, 1.0, 2.0, 1.0, 1.0, 1.0),
        (2e14, 2e13, 5e-18, 3e7, 1e-18, 1.3),
        (5e-5, 5e7, 1e4, 5e17, 1e8, 1e11),
        (2.0, 3.0, 4.0, 2.0, 3.0 * (1 + 1e-6), 4.0),
    ],
}
"""The parameters of both members."""
DIVERGENCES = [(0.0, "deasy", False), (0.3, "deasy", False), (0.3, "nielsen", True)]


def member(name, parameters, families, stack):
    """A member of `jsgmath.families`."""
    return families.Dirichlet(stack(parameters)) if name == "Dirichlet" else getattr(families, name)(*parameters)


def main():
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jsgmath import families, jsg, jsg_dual

    jax.config.update("jax_enable_x64", True)
    found, compiled = {}, {}
    for name, pairs in PAIRS.items():
        for dtype in ("float64", "float32"):
            for alpha, convention, dual in DIVERGENCES:

                def value(x, alpha, name=name, convention=convention, dual=dual):
                    n, stack = len(x) // 2, functools.partial(jnp.stack, axis=-1)
                    first, second = (member(name, list(part), families, stack) for part in (x[:n], x[n:]))
                    return (jsg_dual if dual else jsg)(first, second, alpha, convention=convention).sum()

                # XLA's older emitter makes the same operations in two thirds of the time; Gamma is compiled as usual.
                options = {} if name == "Gamma" else {"compiler_options": {"xla_cpu_use_fusion_emitters": False}}
                x, gradient, key = jnp.array(pairs, dtype).T, jax.grad(value), (name, dtype, dual)
                if dual or key == ("Gamma", "float64", dual):
                    # A number is a constant.  JAX takes twice as long to read a mapped program, so only one is mapped.
                    constant = functools.partial(gradient, alpha=alpha)
                    gradients = jax.jit(constant if alpha else jax.vmap(constant, -1, -1), **options)(x)
                else:  # an argument, so that one program serves two values of alpha
                    if key not in compiled:
                        compiled[key] = jax.jit(gradient, **options)
                    gradients = compiled[key](x, jnp.array(alpha, dtype))
                found[f"{name} {dtype} {alpha} {dual}"] = np.asarray(gradients.T, float).tolist()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
