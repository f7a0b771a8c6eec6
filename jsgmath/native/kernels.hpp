// The parts that the loops over diagonal Gaussians (diagonal.cpp) and full covariances (full.cpp) share: the formula, its
// kernels and weights, and the rounding test.
#pragma once

#include "elementary.hpp"
#include "pair.hpp"

namespace {

#include "formula.hpp"

// The logarithm of the ratio of the variances.  The formula uses it only beyond the limits, so this struct is empty.
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

// Alpha must be 0 or at least LEAST_ALPHA, so that no product with it underflows; otherwise it becomes NaN.
const double LEAST_ALPHA = 0x1p-60;

struct Weights {
  Pair w1, w2, g1, g2;
};
INLINE Weights weights(Lanes alpha, bool reversed, double least = LEAST_ALPHA) {
  Pair w2 = {alpha + poison((alpha == 0) | (alpha >= least)), Lanes{}}, w1 = two_sum(every(1), -alpha);
  auto [g1, g2, slope] = mean_weights(w1, w2, reversed);
  (void)slope;
  return {w1, w2, g1, g2};
}

// The double nearest to every number within the error of high + low, or NaN if there are two.
INLINE double nearest(double high, double low, double error) {
  double sum = high + low, rest = low - (sum - high);
  double lower = sum + (rest - error), upper = sum + (rest + error);
  return lower == upper ? lower : NAN_;
}

// Does this in every lane.
INLINE Lanes nearest_in_lanes(Pair x, Lanes error) {
  const Lanes sum = x.high + x.low, rest = x.low - (sum - x.high);
  const Lanes lower = sum + (rest - error), upper = sum + (rest + error);
  return lower == upper ? lower : every(NAN_);
}

// Does this for floats; NaN also if a bound lies in the middle between two floats, or where floats are subnormal.
INLINE double nearest_single(double high, double low, double error) {
  const uint64_t lost = 0x1fffffff, middle = 0x10000000;
  double sum = high + low, rest = low - (sum - high);
  double lower = sum + (rest - error), upper = sum + (rest + error);
  if (lower == 0 && upper == 0) return 0;
  bool sound = true;
  const double ends[] = {lower, upper};
  for (double end : ends) {
    uint64_t bits;
    std::memcpy(&bits, &end, sizeof bits);
    sound &= end >= 0x1p-126 && end <= 0x1.fffffep127 && (bits & lost) != middle;
  }
  return sound && float(lower) == float(upper) ? double(float(lower)) : NAN_;
}

}  // namespace
