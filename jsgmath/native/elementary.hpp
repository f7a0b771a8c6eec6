// Logarithms and exponentials of pairs, by series; their coefficients are in constants.hpp (`build.py` writes it).
#pragma once

#include "constants.hpp"
#include "pair.hpp"

INLINE uint64_t bits_of(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
INLINE double double_of(uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// 2^j for -1022 <= j <= 1023, by the exponent j + 1023 as it stands in a double; and that exponent as a number j.
INLINE double power_of_two(uint64_t exponent) { return double_of(exponent << 52); }
INLINE double number_of(uint64_t exponent) { return double_of(exponent | 0x4330000000000000) - (0x1p52 + 1023); }

// Horner's scheme in doubles; the coefficient of the highest power comes first.
template <int last, int count>
INLINE double polynomial(const double (&coefficients)[count], double x) {
  if constexpr (last == 0) return coefficients[0];
  else return multiply_add(polynomial<last - 1>(coefficients, x), x, coefficients[last]);
}

// The same in pairs, going on from a value of the higher powers; each step adds x times what stood before, which is less
// than the coefficient.
template <int last, int count>
INLINE Pair polynomial(const Pair (&coefficients)[count], Pair x, double higher) {
  const Pair c = coefficients[last];
  if constexpr (last == 0) {
    Pair sum = fast_two_sum(c.high, x.high * higher);
    return {sum.high, sum.low + c.low};
  } else {
    Pair product = x * polynomial<last - 1>(coefficients, x, higher);
    Pair sum = fast_two_sum(c.high, product.high);
    return {sum.high, sum.low + (c.low + product.low)};
  }
}

// 2 P(w) of `special.py` for w <= 0.0295, which a ratio between sqrt(1/2) and sqrt(2) leaves.
struct Tail {
  INLINE_MEMBER Pair operator()(Pair w) const {
    return polynomial<TAIL_PAIRS_COUNT - 1>(TAIL_PAIRS, w, polynomial<TAIL_COUNT - 1>(TAIL, w.high));
  }
};

// k = 2^j m with m between sqrt(1/2) and sqrt(2), f = m - 1, and log(2^j).  For j = 0, f is x itself, which has more
// digits than k - 1.
struct Split {
  Pair f, m, log_rest;
};
INLINE Split split(Pair x, Pair k) {
  uint64_t exponent = (bits_of(k.high) - SQRT_HALF + (uint64_t(1023) << 52)) >> 52;
  double scale = power_of_two(2046 - exponent);
  Pair m = {k.high * scale, k.low * scale};
  bool near = exponent == 1023;
  Pair f = {near ? x.high : m.high - 1.0, near ? x.low : m.low};
  return {f, m, LOG2 * number_of(exponent)};
}

// exp(x) - 1, without cancellation, and exp(x), for |x| < 700.
struct Exponential {
  Pair minus_one, value;
};
INLINE Exponential exponential(Pair x) {
  double shifted = x.high * INVERSE_LOG2 + 0x1.8p52;  // the last bits are those of the whole number nearest to it
  double n = shifted - 0x1.8p52;
  // n LOG2_HIGH is exact, since LOG2_HIGH has few digits.
  Pair t = (two_sum(x.high, -n * LOG2_HIGH) - two_product(n, LOG2_LOW)) + x.low;
  double power = power_of_two(bits_of(shifted) - bits_of(0x1.8p52) + 1023);
  Pair series = polynomial<EXP_PAIRS_COUNT - 1>(EXP_PAIRS, t, polynomial<EXP_COUNT - 1>(EXP, t.high));
  Pair y = (t + t * (t * series)) * power;
  return {y + two_sum(power, -1.0), y + power};
}
