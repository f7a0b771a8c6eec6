"""Correct rounding: each divergence of NumPy is the float nearest to the true value.

`of_pairs` and `of_many` get a value with a bound on its error, from the core or NumPy, and keep it if all numbers
within the bound round to one float.  The others go to a last path of rising precision: `nearest` and `nearest_many` for
diagonal Gaussians, in decimal numbers; `nearest_full`, `nearest_many_full` and `nearest_low_rank` for the rest, in
whole numbers.  `several` has the scalars of several Gaussians, and `scalar_pairs` those that derivatives need.
"""
