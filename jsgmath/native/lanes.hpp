// Pairs of doubles as in pair.hpp, several side by side in vectors, with the low part brought below a few units of the last
// place after every operation. Each operation below has an error of at most 2^-99 times the sizes of its operands' products
// and summands (verification/README.md, "Full covariances in pairs of doubles").
#pragma once

#include "pair.hpp"

namespace {

#if defined(__AVX512F__)
const int LANES = 8;
#elif defined(__AVX2__)
const int LANES = 4;
#else
const int LANES = 2;
#endif
typedef double Lanes __attribute__((vector_size(8 * LANES)));

INLINE Lanes every(double x) { return x - Lanes{}; }
INLINE Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }
INLINE Lanes root(Lanes a) {
  Lanes r;
  for (int i = 0; i < LANES; i++) r[i] = __builtin_sqrt(a[i]);
  return r;
}
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) {
#if defined(__FMA__) || defined(__aarch64__)
  Lanes r;
  for (int i = 0; i < LANES; i++) r[i] = __builtin_fma(a[i], b[i], c[i]);
  return r;
#else
  return a * b + c;
#endif
}

struct Wide {
  Lanes high, low;
};

INLINE Wide wide(double x) { return {every(x), Lanes{}}; }
INLINE Wide fast_two_sum(Lanes a, Lanes b) {
  Lanes sum = a + b;
  return {sum, b - (sum - a)};
}
INLINE Wide two_sum(Lanes a, Lanes b) {
  Lanes sum = a + b, part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}
INLINE Wide two_product(Lanes a, Lanes b) {
  Lanes product = a * b;
#if defined(__FMA__) || defined(__aarch64__)
  return {product, multiply_add(a, b, -product)};
#else
  const Lanes splitter = every(134217729.0);
  Lanes wide_a = splitter * a, high_a = wide_a - (wide_a - a), low_a = a - high_a;
  Lanes wide_b = splitter * b, high_b = wide_b - (wide_b - b), low_b = b - high_b;
  return {product, ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b};
#endif
}

INLINE Wide operator-(Wide a) { return {-a.high, -a.low}; }
INLINE Wide operator+(Wide a, Wide b) {
  Wide sum = two_sum(a.high, b.high);
  return fast_two_sum(sum.high, sum.low + (a.low + b.low));
}
INLINE Wide operator-(Wide a, Wide b) { return a + -b; }
INLINE Wide operator*(Wide a, Wide b) {
  Wide product = two_product(a.high, b.high);
  return fast_two_sum(product.high, multiply_add(a.low, b.high, multiply_add(a.high, b.low, product.low)));
}
// c - a b, and c + a b.
INLINE Wide minus_product(Wide c, Wide a, Wide b) {
  Wide product = two_product(a.high, b.high);
  Lanes low = multiply_add(a.low, b.high, multiply_add(a.high, b.low, product.low));
  Wide sum = two_sum(c.high, -product.high);
  return fast_two_sum(sum.high, sum.low + (c.low - low));
}
INLINE Wide plus_product(Wide c, Wide a, Wide b) { return minus_product(c, -a, b); }
INLINE Wide operator/(Wide a, Wide b) {
  Lanes quotient = a.high / b.high;
  Wide product = two_product(quotient, b.high);
  Lanes rest = ((a.high - product.high) - product.low) + a.low;
  return fast_two_sum(quotient, multiply_add(-quotient, b.low, rest) / b.high);
}
INLINE Wide root(Wide a) {
  Lanes high = root(a.high);
  Wide square = two_product(high, high);
  Lanes rest = ((a.high - square.high) - square.low) + a.low;
  return fast_two_sum(high, rest / (2 * high));
}

}  // namespace
