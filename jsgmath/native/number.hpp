// Pairs of doubles that keep their digits if numbers of either sign are added.
#pragma once

#include "pair.hpp"

namespace {

// A pair that sums leave with a low part below a unit of the last place; otherwise it could grow if high parts cancel.
struct Number : Pair {
  Number() = default;
  INLINE_MEMBER Number(Pair x) : Pair(x) {}
  INLINE_MEMBER Number(Lanes high, Lanes low) : Pair{high, low} {}
};
INLINE Number number(double x) { return pair(x); }
INLINE Number settled(Pair x) { return fast_two_sum(x.high, x.low); }
INLINE Number operator-(Number a) { return {-a.high, -a.low}; }
INLINE Number operator+(Number a, Number b) { return settled(Pair(a) + Pair(b)); }
INLINE Number operator-(Number a, Number b) { return a + -b; }
INLINE Number operator*(Number a, Number b) { return Pair(a) * Pair(b); }
INLINE Number operator/(Number a, Number b) { return Pair(a) / Pair(b); }

// a - b with the relative error of an operation, even if most of it cancels.
INLINE Number apart(Number a, Number b) {
  const Pair high = two_sum(a.high, -b.high), low = two_sum(a.low, -b.low), sum = fast_two_sum(high.high, high.low + low.high);
  return fast_two_sum(sum.high, sum.low + low.low);
}

}  // namespace
