# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # The idea, with sliders
#
# JSG compares two Gaussians with their geometric mean G, which is a Gaussian as well. This notebook draws G and the
# divergences. It needs `pip install '.[notebooks]'`; without `ipywidgets` it shows pictures in place of sliders.

# %%
import matplotlib.pyplot as plt
import numpy as np

import jsgmath

BLUE, SKY, ORANGE, GREEN, PINK = "#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7"
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True})


def gaussian(mean, variance):
    return jsgmath.Gaussian(mean=[mean], var=[variance])


def density(N, x):
    return np.exp(-((x - N.mean) ** 2) / (2 * N.var)) / np.sqrt(2 * np.pi * N.var)


# %% [markdown]
# ## Two Gaussians and the mean between them
#
# N1 is fixed. Move N2 and α. At α = 0 the mean G is N2, at α = 1 it is N1, and the curves of JSG and JSG\* meet the two
# KLs there.

# %% alt="Left: N1, N2 and their geometric mean. Right: JSG and JSG* against alpha, between the two KLs."
N1 = gaussian(-1.0, 0.4)
x, alphas = np.linspace(-6, 6, 400), np.linspace(0, 1, 101)


def draw(alpha=0.3, mean=1.5, variance=1.5):
    N2 = gaussian(mean, variance)
    G = jsgmath.geometric_mean(N1, N2, 1 - alpha)
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for N, colour, name in ((N1, BLUE, "N1"), (N2, SKY, "N2"), (G, ORANGE, "G")):
        left.plot(x, density(N, x), color=colour, label=name)
        left.fill_between(x, density(N, x), color=colour, alpha=0.1)
    left.set(xlabel="x", ylabel="density", ylim=(0, 0.8))
    left.legend(frameon=False)
    for divergence, colour, name in ((jsgmath.jsg, ORANGE, "JSG"), (jsgmath.jsg_dual, GREEN, "JSG*")):
        right.plot(alphas, divergence(N1, N2, alphas), color=colour, label=name)
        right.plot(alpha, divergence(N1, N2, alpha), "o", color=colour)
    right.axhline(jsgmath.kl(N1, N2), color=BLUE, linestyle=":", label="KL(N1‖N2)")
    right.axhline(jsgmath.kl(N2, N1), color=SKY, linestyle=":", label="KL(N2‖N1)")
    right.set(xlabel="α", ylabel="nats", ylim=(0, None))
    right.legend(frameon=False)
    plt.show()


try:
    from ipywidgets import interact
except ImportError:
    draw()
else:
    interact(draw, alpha=(0.0, 1.0, 0.05), mean=(-4.0, 4.0, 0.25), variance=(0.1, 4.0, 0.1))

# %% [markdown]
# Both curves dip below the two KLs, because G is nearer to each Gaussian than the two are to each other.

# %% [markdown]
# ## Far apart
#
# The Jensen-Shannon divergence (JS) compares both densities with their mixture. It is at most log 2, so it cannot tell
# far from very far. JSG and KL go on growing.

# %% alt="Four divergences against the distance of the means: JS levels off at log 2, JSG grows like KL."
distances = np.linspace(0, 6, 61)
moved = jsgmath.Gaussian(mean=distances[:, None], var=1.0)
fixed = gaussian(0.0, 1.0)
_, axes = plt.subplots(figsize=(5.5, 3))
axes.plot(distances, jsgmath.kl(moved, fixed), color=BLUE, label="KL, both directions")
axes.plot(distances, jsgmath.jsg(moved, fixed, 0.5), color=ORANGE, label="JSG and JSG*, α = ½")
axes.plot(distances, jsgmath.js(moved, fixed)[0], color=PINK, label="JS")
axes.axhline(np.log(2), color="grey", linewidth=0.8, linestyle=":")
axes.set(xlabel="distance of the means, in standard deviations", ylabel="nats", ylim=(0, 6))
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Close together
#
# The closed form printed in papers subtracts numbers that are nearly equal. The closer the variances, the fewer digits
# remain, until none is left and the value is 0 or negative. jsgmath computes another form of the same formula, in which
# nothing cancels.


# %%
def textbook(v1, v2):
    """Equation 9 of the paper at alpha = 1/2, for equal means."""
    v = 2 / (1 / v1 + 1 / v2)
    return ((v1 + v2) / (2 * v) - 1 + np.log(v) - (np.log(v1) + np.log(v2)) / 2) / 2


print("difference  as printed  jsgmath")
for exponent in (1, 3, 5, 7, 9):
    v1, v2 = 3.0 + 10.0**-exponent, 3.0
    value = jsgmath.jsg(gaussian(0.0, v1), gaussian(0.0, v2), 0.5)
    print(f"     1e-{exponent:02}  {textbook(v1, v2):10.2e}  {value:.2e}")
