// Logarithms and exponentials of pairs, by series; their coefficients are in constants.hpp (`build.py` writes it).
#pragma once

#include "constants.hpp"
#include "pair.hpp"

namespace {

// 2^j for -1022 <= j <= 1023, from the exponent bits j + 1023 of a double; and j from these bits.
INLINE Lanes power_of_two(Bits exponent) { return lanes_of(exponent << 52); }
INLINE Lanes number_of(Bits exponent) { return lanes_of(exponent | 0x4330000000000000) - (0x1p52 + 1023); }

// A polynomial in doubles. Two Horner schemes in x^2, for the even and the odd powers, run independently. The coefficient of
// the highest power comes first.
template <int last, int count>
INLINE Lanes every_second(const double (&coefficients)[count], Lanes square) {
  if constexpr (last < 2) return every(coefficients[last]);
  else return multiply_add(every_second<last - 2>(coefficients, square), square, every(coefficients[last]));
}
template <int count>
INLINE Lanes polynomial(const double (&coefficients)[count], Lanes x) {
  Lanes square = x * x;
  Lanes odd = every_second<count - 2>(coefficients, square), even = every_second<count - 1>(coefficients, square);
  return multiply_add(odd, x, even);
}

// Horner's scheme in pairs, starting from the value of the higher powers; each step adds x times the last value to a
// coefficient, which is the larger of the two.
template <int last, int count>
INLINE Pair polynomial(const Constant (&coefficients)[count], Pair x, Lanes higher) {
  const Constant c = coefficients[last];
  Pair product;
  if constexpr (last == 0) product = x * higher;
  else product = x * polynomial<last - 1>(coefficients, x, higher);
  Pair sum = fast_two_sum(every(c.high), product.high);
  return {sum.high, sum.low + (c.low + product.low)};
}

// 2 P(w) of `special.py` for w <= 0.0295, which is true for a ratio between sqrt(1/2) and sqrt(2).
struct Tail {
  INLINE_MEMBER Pair operator()(Pair w) const {
    return polynomial<TAIL_PAIRS_COUNT - 1>(TAIL_PAIRS, w, polynomial(TAIL, w.high));
  }
};

// A number between -0.3 and 0.42. 2 is added to it, and a smaller number subtracted from it, each at half the cost of a sum.
struct Small : Pair {
  INLINE_MEMBER Small(Lanes high, Lanes low) : Pair{high, low} {}
};
INLINE Pair operator+(Small a, double two) {
  Pair sum = fast_two_sum(every(two), a.high);
  return {sum.high, sum.low + a.low};
}
INLINE Pair operator-(Small a, Pair smaller) {
  Pair sum = fast_two_sum(a.high, -smaller.high);
  return {sum.high, sum.low + (a.low - smaller.low)};
}

// The exponent j + 1023 of k = 2^j m with m between sqrt(1/2) and sqrt(2).
INLINE Bits exponent_of(Pair k) { return (bits_of(k.high) - SQRT_HALF + (uint64_t(1023) << 52)) >> 52; }

// k = 2^j m with m between sqrt(1/2) and sqrt(2): f = m - 1, m, and log(2^j). For j = 0, f is x itself, which has more
// digits than k - 1.
struct Split {
  INLINE_MEMBER Three<Small, Pair, Pair> operator()(Pair x, Pair k) const {
    Bits exponent = exponent_of(k);
    Lanes scale = power_of_two(2046 - exponent);
    Pair m = {k.high * scale, k.low * scale};
    Truth near = exponent == 1023;
    Small f = {near ? x.high : m.high - 1.0, near ? x.low : m.low};
    return {f, m, pair(LOG2) * number_of(exponent)};
  }
};

// exp(x) - 1 and exp(x) - 1 - x, without cancellation, and exp(x), for |x| < 700.
struct Exponential {
  Pair minus_one, value, minus_one_and_x;
};
template <int pairs, int count>
INLINE Exponential exponential(Pair x, const Constant (&in_pairs)[pairs], const double (&in_doubles)[count]) {
  Lanes shifted = x.high * INVERSE_LOG2 + 0x1.8p52;  // its last bits are those of the nearest whole number
  Lanes n = shifted - 0x1.8p52;
  // n LOG2_HIGH is exact, since LOG2_HIGH has few digits.
  Pair t = (two_sum(x.high, -n * LOG2_HIGH) - two_product(n, every(LOG2_LOW))) + x.low;
  Lanes power = power_of_two(bits_of(shifted) - bits_of(every(0x1.8p52)) + 1023);
  Pair series = polynomial<pairs - 1>(in_pairs, t, polynomial(in_doubles, t.high));
  Pair curve = t * (t * series), y = (t + curve) * power, minus_one = y + two_sum(power, every(-1)), rest = minus_one - x;
  Truth near = n == 0;  // here t is x
  return {minus_one, y + power, {near ? curve.high : rest.high, near ? curve.low : rest.low}};
}
INLINE Exponential exponential(Pair x) { return exponential(x, EXP_PAIRS, EXP); }

}  // namespace
