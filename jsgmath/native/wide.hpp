// Pairs of doubles as in pair.hpp, in vectors; the low part is below a few units of the last place after every operation.
// The error of each operation is at most 2^-99 times the sizes of its operands' products and summands
// (verification/README.md, "Full covariances in pairs of doubles").
#pragma once

#include "pair.hpp"

namespace {

struct Wide : Pair {
  Wide() = default;
  INLINE_MEMBER Wide(Pair x) : Pair(x) {}
  INLINE_MEMBER Wide(Lanes high, Lanes low) : Pair{high, low} {}
};

INLINE Wide wide(double x) { return pair(x); }
INLINE Wide operator-(Wide a) { return {-a.high, -a.low}; }
INLINE Wide operator+(Wide a, Wide b) {
  Pair sum = two_sum(a.high, b.high);
  return fast_two_sum(sum.high, sum.low + (a.low + b.low));
}
INLINE Wide operator-(Wide a, Wide b) { return a + -b; }
INLINE Wide operator*(Wide a, Wide b) {
  Pair product = two_product(a.high, b.high);
  return fast_two_sum(product.high, multiply_add(a.low, b.high, multiply_add(a.high, b.low, product.low)));
}
// c - a b, and c + a b.
INLINE Wide minus_product(Wide c, Wide a, Wide b) {
  Pair product = two_product(a.high, b.high);
  Lanes low = multiply_add(a.low, b.high, multiply_add(a.high, b.low, product.low));
  Pair sum = two_sum(c.high, -product.high);
  return fast_two_sum(sum.high, sum.low + (c.low - low));
}
INLINE Wide plus_product(Wide c, Wide a, Wide b) { return minus_product(c, -a, b); }
INLINE Wide operator/(Wide a, Wide b) {
  Lanes quotient = a.high / b.high;
  Pair product = two_product(quotient, b.high);
  Lanes rest = ((a.high - product.high) - product.low) + a.low;
  return fast_two_sum(quotient, multiply_add(-quotient, b.low, rest) / b.high);
}
INLINE Wide root(Wide a) {
  Lanes high = root(a.high);
  Pair square = two_product(high, high);
  Lanes rest = ((a.high - square.high) - square.low) + a.low;
  return fast_two_sum(high, rest / (2 * high));
}

}  // namespace
