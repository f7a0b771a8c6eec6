"""Mutants that change no result, or none that float64 can show: a reason, and the functions and statements.

`mutants.py` makes them and reports if one is missing or is killed.
"""

REASONS = {
    "one term fewer changes the result by less than 2^-68": [
        "special.numpy_kernel: terms = series_terms(info.nmant - 1)",
    ],
    "the two types are equal there": [
        "pairs.common_dtype: return N2.dtype if N1.dtype == N2.dtype else np.result_type(N1.dtype, N2.dtype)",
    ],
    "it adds one more term than needed": [
        "special.numpy_kernel: terms = series_terms(info.nmant + 2)",
    ],
    "a derivative by a log-variance uses neither i1 nor i2": [
        "formula.exchanged: return (w2, w1, g2, g1, r2, r1, e2, e1, d2, d1, i1, i1)",
        "formula.exchanged: return (w2, w1, g2, g1, r2, r1, e2, e1, d2, d1, i2, i2)",
    ],
    "the other end of the interval gives the maximum": [
        "special.split_tail: largest = max(((f / (f + 2)) ** 2 for f in (Fraction(SPLIT_FROM) - 1, "
        "Fraction(SPLIT_TO) - 2)))",
    ],
    "it uses more terms of the series than needed": [
        "special.split_tail: return economised([Fraction(2, 2 * j + 3) for j in range(3 * terms + 4)], 0, largest, "
        "terms)",
        "special.split_tail: return economised([Fraction(2, 2 * j + 3) for j in range(2 * terms + 5)], 0, largest, "
        "terms)",
        "special.expm1_ratio: return economised([Fraction(1, math.factorial(j + 1)) for j in range(3 * terms)], "
        "-half_log2, half_log2, terms)",
    ],
    "between the two bounds both logarithms are accurate": [
        "special.log_k: sound = (k > floor) & (k * floor < 2)",
    ],
    "between 0 and 1 both values of k are accurate enough, since the series hardly uses k": [
        "special.g: k = where(x > 1, 1 + x, k)",
        "special.gs: k = where(x > 1, 1 + x, k)",
    ],
    "for such log_r1 the ratio is clipped": [
        "diagonal.diagonal_pairs: low = np.where(np.abs(log_r1) < np.log(np.finfo(work).max), low, 1)",
    ],
    "at the border of near both computations are accurate": [
        "diagonal.diagonal_pairs: near = np.abs(e2) < 0.5",
        "diagonal.diagonal_pairs: near = np.abs(e1) < 1.5",
    ],
    "reshape treats any negative number like -1": [
        "diagonal.mixed_excesses: return halves.reshape(-2, 2, 2).sum(-1).T",
    ],
    "both Gaussians have the same dimension": [
        "working.evaluated: rounding = (special.ROUNDING + N2.dim) * np.finfo(special.WORK).eps",
    ],
    "both distributions have one class": [
        "divergences._skew: if isinstance(N2, Composite):",
    ],
    "both distributions are images under one map, or neither is": [
        "divergences.geometric_mean: return image_of(N2, _geometric_mean(*pair_of(N1, N2), weight))",
    ],
    "only the amount of memory depends on it": [
        "full.in_parts: count, step = (int(np.prod(batch)), max(1, AT_ONCE // (n * 2)))",
        "full.in_parts: count, step = (int(np.prod(batch)), max(1, AT_ONCE * n ** 2))",
    ],
    "it changes a term of the error bound; the other terms are larger, and all are below a rounding": [
        (
            "working.evaluated: return (value, (rounding + relative) * value - "
            "divergence_of(slack, w1, w2, g1, g2, dual))"
        ),
        "full.Transformed.__init__: share = sum(((np.abs(x.high) - x.error) / sizes for x, sizes in sides))",
        (
            "full.pair_arrays: share = np.maximum(error1 / c1, error2 / c2) - "
            "np.where(near[:, None], 0, e_error / n"
            "p.maximum(c1, c2))"
        ),
        (
            "full.pair_arrays: relative = 4 * transformed.weighted + np.where(near, 64, 8 / n) * (share + "
            "_ratio(noise, transformed.length))"
        ),
        (
            "full.pair_arrays: relative = special.WORK(1) * (relative - 256 * n * (transformed.weighted + "
            "transformed.rest) ** 2)"
        ),
        (
            "full.pair_arrays: relative = special.WORK(1) * (relative + 256 / n * (transformed.weighted + "
            "transformed.rest) ** 2)"
        ),
        (
            "full.pair_arrays: relative = special.WORK(1) * (relative + 256 * n * (transformed.weighted - "
            "transformed.rest) ** 2)"
        ),
        "full._slack: moved = ScalarPairs(pair.log_r1, pair.r1, pair.r2, none, none, d2 * np.sqrt(pair.r1), d2)",
        "twofold.Twofold.inverse: error = 2 * np.abs(X.high) @ (np.abs(residual.high) - residual.error)",
    ],
    "one of each two entries (i, j) and (j, i) keeps its weight": [
        "full.Transformed.__init__: self.weight = np.sqrt(np.maximum(ratios, 1 * ratios)) * self.off",
    ],
    "c2 is 1 there, up to a rounding": [
        "full.Transformed.__init__: r = self.c1 * self.c2",
        (
            "full.pair_arrays: share = np.maximum(error1 / c1, error2 * c2) + "
            "np.where(near[:, None], 0, e_error / n"
            "p.maximum(c1, c2))"
        ),
        "full.pair_arrays: basis = transformed.columns * np.sqrt(c2).astype(float)[:, None, :]",
    ],
    "e1 is so small that only its square matters": [
        "full._slack: scaled = ScalarPairs(np.log1p(e1), 1 - e1, 1 / (1 + e1), e1, -e1 / (1 + e1), still, still)",
        "full._slack: scaled = ScalarPairs(np.log1p(e1), 1 + e1, 1 * (1 + e1), e1, -e1 / (1 + e1), still, still)",
        "full._slack: scaled = ScalarPairs(np.log1p(e1), 1 + e1, 1 / (1 - e1), e1, -e1 / (1 + e1), still, still)",
        "full._slack: scaled = ScalarPairs(np.log1p(e1), 1 + e1, 1 / (1 + e1), e1, -e1 * (1 + e1), still, still)",
        "full._slack: scaled = ScalarPairs(np.log1p(e1), 1 + e1, 1 / (1 + e1), e1, e1 / (1 + e1), still, still)",
        "full._slack: scaled = ScalarPairs(np.log1p(e1), 1 + e1, 1 / (1 + e1), e1, -e1 / (1 - e1), still, still)",
    ],
    "the matrix is symmetric": [
        "scaling.GivenCovariance.transformed: return (congruent, congruent.T @ back.T)",
    ],
    "it is used only to propose a W": [
        (
            "scaling.scaled_pair: return ScaledPair(half=np.ldexp(half, rows - own), whitening=np.ldexp(whitening, -c"
            "olumns), first=first, second=second, difference=first.given + -second.given if first.kind == second."
            "kind else None, swapped=swapped, mapped=False, displacement=delta.scaled((toward - "
            "unit_displacement[:, None])[:, "
            ":, None]), unit=unit, unit1=unit1, unit_displacement=unit_displacement + 1)"
        ),
    ],
}
EQUIVALENT = {name: reason for reason, names in REASONS.items() for name in names}
