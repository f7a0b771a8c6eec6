"""SciPy and scikit-learn find clusters and neighbours from matrices of divergences."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn import cluster, neighbors

from jsgmath import Gaussian, pairwise

RNG = np.random.default_rng(6)


def test_clusters_are_found_by_scipy_and_scikit_learn():
    centres, labels = 4 * RNG.normal(size=(3, 10)), np.repeat(np.arange(3), 15)
    gaussians = Gaussian(centres[labels] + 0.3 * RNG.normal(size=(45, 10)), var=np.exp(0.1 * RNG.normal(size=(45, 10))))
    matrix = pairwise(gaussians, 0.5)
    for found in (
        fcluster(linkage(squareform(matrix), "average"), 3, "maxclust"),
        cluster.AgglomerativeClustering(3, metric="precomputed", linkage="average").fit(matrix).labels_,
        cluster.DBSCAN(eps=5.0, metric="precomputed").fit(matrix).labels_,
    ):
        assert len(set(zip(found, labels, strict=True))) == 3
    knn = neighbors.KNeighborsClassifier(3, metric="precomputed").fit(matrix, labels)
    assert (knn.predict(pairwise(gaussians.indexed(slice(0, 45, 5)), 0.5, gaussians)) == labels[::5]).all()
