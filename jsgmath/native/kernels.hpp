// What the loops over diagonal Gaussians (diagonal.cpp) and over full covariances (full.cpp) have in common: the formula, its
// kernels and weights, and the rounding test.
#pragma once

#include "elementary.hpp"
#include "pair.hpp"

namespace {

#include "formula.hpp"

const double NAN_ = __builtin_nan("");
INLINE bool between(double x, double low, double high) { return (x >= low) & (x <= high); }
INLINE double poison(bool sound) { return sound ? 0.0 : NAN_; }

// The logarithm of the ratio of the variances, which serves the formula only beyond the limits: there is nothing to add.
struct Unused {};
INLINE Unused operator-(Unused x) { return x; }
INLINE Pair operator+(Pair x, Unused) { return x; }

struct G {
  INLINE_MEMBER Pair operator()(Pair x, Pair k, Pair other_k, Unused beyond) const {
    return split_g(x, k, other_k, beyond, Split{}, Tail{});
  }
};
struct Gs {
  INLINE_MEMBER Pair operator()(Pair x, Pair k, Pair other_k, Unused beyond) const {
    return split_gs(x, k, other_k, beyond, Split{}, Tail{});
  }
};

// Alpha is 0 or at least LEAST_ALPHA, so that no product with it underflows; else it becomes NaN.
const double LEAST_ALPHA = 0x1p-60;

struct Weights {
  Pair w1, w2, g1, g2;
};
INLINE Weights weights(double alpha, bool reversed) {
  Pair w2 = {alpha + poison((alpha == 0) | (alpha >= LEAST_ALPHA)), 0.0}, w1 = two_sum(1.0, -alpha);
  auto [g1, g2, slope] = mean_weights(w1, w2, reversed);
  (void)slope;
  return {w1, w2, g1, g2};
}

// The double nearest to every number within the relative bound of x, or NaN if there are two.
INLINE double nearest(Pair x, double bound) {
  Pair sum = fast_two_sum(x.high, x.low);
  double error = bound * sum.high;
  double lower = sum.high + (sum.low - error), upper = sum.high + (sum.low + error);
  return lower == upper ? lower : NAN_;
}

// The same for floats: none may be reached from a double that lies between two floats, nor where these are subnormal.
INLINE double nearest_single(Pair x, double bound) {
  const uint64_t lost = 0x1fffffff, middle = 0x10000000;
  Pair sum = fast_two_sum(x.high, x.low);
  double error = bound * sum.high;
  double lower = sum.high + (sum.low - error), upper = sum.high + (sum.low + error);
  bool sound = between(lower, 0x1p-126, 0x1.fffffep127) & between(upper, 0x1p-126, 0x1.fffffep127);
  sound &= ((bits_of(lower) & lost) != middle) & ((bits_of(upper) & lost) != middle);
  if (lower == 0 && upper == 0) return 0;
  return sound && float(lower) == float(upper) ? double(float(lower)) : NAN_;
}

}  // namespace
