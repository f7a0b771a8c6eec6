// The kernels and elementary functions in plain doubles, for results in floats: their errors are below 2^-34 of a result.
#pragma once

#include "kernels.hpp"

namespace {

// Operations of whole numbers and doubles in the text of a formula, in addition to those of pair.hpp.
INLINE double operator/(double a, Whole<2>) { return 0.5 * a; }
INLINE double operator*(Whole<2>, double a) { return 2.0 * a; }
INLINE double operator+(Whole<2>, double a) { return 2.0 + a; }
INLINE Pair operator*(double a, Pair b) { return b * a; }
INLINE Pair operator*(Whole<2>, Pair a) { return {2.0 * a.high, 2.0 * a.low}; }
INLINE Pair operator+(Whole<2>, Pair a) { return a + 2.0; }

// x within [-limit, limit]; NaN stays NaN.
INLINE double within(double x, double limit) {
  double below = limit < x ? limit : x;
  return -limit > below ? -limit : below;
}

struct ShortExponential {
  double minus_one, value;
};
INLINE ShortExponential short_exponential(double x) {
  double shifted = x * INVERSE_LOG2 + 0x1.8p52;
  double n = shifted - 0x1.8p52;
  double f = (x - n * LOG2_HIGH) - n * LOG2_LOW;
  double power = power_of_two(bits_of(shifted) - bits_of(0x1.8p52) + 1023);
  double fraction = multiply_add(f * f, polynomial(SHORT_EXP, f), f) * power;
  return {(power - 1.0) + fraction, power + fraction};
}

struct ShortTail {
  INLINE_MEMBER double operator()(double w) const { return polynomial(SHORT_TAIL, w); }
};

struct ShortSplit {
  INLINE_MEMBER Three<double, double, double> operator()(double x, double k) const {
    uint64_t exponent = (bits_of(k) - SQRT_HALF + (uint64_t(1023) << 52)) >> 52;
    double m = k * power_of_two(2046 - exponent);
    return {exponent == 1023 ? x : m - 1.0, m, LOG2.high * number_of(exponent)};
  }
};

// The part that the clamp cut off the log-ratio matters if k is the ratio of the variances, or a part of it.
INLINE double counting(double k, double beyond) { return (k > 0x1p500) | (k < 0x1p-500) ? beyond : 0.0; }

// g and gs of `special.py`, for either type of number.
struct KernelG {
  INLINE_MEMBER double operator()(double x, double k, double other_k, double beyond) const {
    return split_g(x, k, other_k, counting(k, beyond), ShortSplit{}, ShortTail{});
  }
  INLINE_MEMBER Pair operator()(Pair x, Pair k, Pair other_k, Unused beyond) const { return G{}(x, k, other_k, beyond); }
};
struct KernelGs {
  INLINE_MEMBER double operator()(double x, double k, double other_k, double beyond) const {
    return split_gs(x, k, other_k, counting(k, beyond), ShortSplit{}, ShortTail{});
  }
  INLINE_MEMBER Pair operator()(Pair x, Pair k, Pair other_k, Unused beyond) const { return Gs{}(x, k, other_k, beyond); }
};

}  // namespace
