# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Comparing and clustering Gaussians
#
# The images of each handwritten digit are a cloud of points, and we fit a Gaussian to each cloud. Which digits look
# alike, and how do they group? This notebook needs `pip install '.[notebooks]'`; without `ipywidgets` it shows pictures
# in place of sliders.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import MDS

import jsgmath

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True})
images, digits = load_digits(return_X_y=True)
points = PCA(8, random_state=0).fit_transform(images)


def fit(points, labels):
    """A batch of ten Gaussians, one for each digit."""
    clouds = [points[labels == digit] for digit in range(10)]
    return jsgmath.Gaussian(mean=[x.mean(0) for x in clouds], cov=[np.cov(x, rowvar=False) for x in clouds])


classes = fit(points, digits)
print(f"{len(points)} images, 10 Gaussians in {classes.dim} dimensions")

# %% [markdown]
# ## All pairs
#
# `pairwise` makes the matrix. At α = ½ it is symmetric. At other α it is not, and a row and its column answer different
# questions, as with KL.


# %% alt="Matrix of JSG between the ten digits"
def show_matrix(alpha=0.5):
    _, axes = plt.subplots(figsize=(4.4, 3.6))
    picture = axes.imshow(jsgmath.pairwise(classes, alpha), cmap="viridis")
    axes.set(xticks=range(10), yticks=range(10), xlabel="second digit", ylabel="first digit")
    axes.spines[:].set_visible(False)
    plt.colorbar(picture, label=f"JSG at {alpha:g}, nats")
    plt.show()


try:
    from ipywidgets import interact
except ImportError:
    show_matrix()
else:
    interact(show_matrix, alpha=(0.0, 1.0, 0.1))

# %% [markdown]
# ## Groups
#
# SciPy's hierarchical clustering takes the matrix at α = ½. 3, 5, 8 and 9 share strokes, and so do 4 and 7.

# %% alt="Dendrogram of the ten digits"
distances = jsgmath.pairwise(classes, 0.5)
_, axes = plt.subplots(figsize=(6, 2.8))
tree = linkage(squareform(distances), method="average")
dendrogram(tree, ax=axes, color_threshold=0, above_threshold_color="#0072b2")
axes.set(xlabel="digit", ylabel="JSG at ½, nats")
plt.show()

# %% [markdown]
# ## Is a difference real?
#
# Fit each digit twice, to one half of its images and to the other. The distance between the halves shows how much of a
# divergence comes from chance, or from other writers. In a map of all 20 Gaussians the halves should lie side by side.

# %% alt="A map of twenty Gaussians: the two halves of each digit are neighbours"
half = np.arange(len(points)) < len(points) // 2
halves = [fit(points[rows], digits[rows]) for rows in (half, ~half)]
between = jsgmath.pairwise(halves[0], 0.5, halves[1])
print("the other half of a digit:", between.diagonal().round(1))
others = between + np.diag(np.full(10, np.inf))
print("the nearest other digit:  ", others.min(1).round(1))
print("nearest of all:           ", between.argmin(1))

both = jsgmath.Gaussian(mean=np.concatenate([N.mean for N in halves]), cov=np.concatenate([N.cov for N in halves]))
scaling = MDS(2, metric="precomputed", init="classical_mds", n_init=1, random_state=0)
x, y = scaling.fit_transform(np.sqrt(jsgmath.pairwise(both, 0.5))).T
_, axes = plt.subplots(figsize=(4.6, 3.6))
for first, second in zip(range(10), range(10, 20), strict=True):
    axes.plot(x[[first, second]], y[[first, second]], color="#bbbbbb", zorder=0)
axes.scatter(x, y, s=170, c=np.tile(range(10), 2), cmap="tab10")
for index in range(20):
    axes.text(x[index], y[index], index % 10, ha="center", va="center", color="white")
axes.set(xticks=[], yticks=[])
axes.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# ## Which pairs will be confused?
#
# For two classes of equal weight, the error of the best classifier is at most $\frac12 e^{-B}$, where B is the
# Bhattacharyya distance at α = ½. This bound needs no classifier.

# %%
first, second = np.triu_indices(10, 1)
one, other = (jsgmath.Gaussian(mean=classes.mean[index], cov=classes.cov[index]) for index in (first, second))
bounds = np.exp(-jsgmath.bhattacharyya(one, other, 0.5)) / 2
for pair in bounds.argsort()[:-5:-1]:
    print(f"{first[pair]} and {second[pair]}: at most {bounds[pair]:.3f}")
