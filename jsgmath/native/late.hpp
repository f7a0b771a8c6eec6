// The numbers on which `formula.py` runs if only one logarithm is computed for a row, at its end ("late"; see
// verification/README.md, "One logarithm for a whole row").
//
// All are fractions of the variances v1, v2, the square s of the displacement, and m = g1 v2 + g2 v1.  With j the other index,
//
//     r_i = v_i/v_j    e_i = (v_i - v_j)/v_j    d_i = sqrt(s/v_i)    k_i = m/v_j    p_i = g_i v_j/m
//
// The types below keep these parts, and an operation computes what the sum over a row needs.  Its weights are the same in all
// columns, so they are left out and multiply the sum; the index of a type tells which.  V is Lanes, or Pair.
#pragma once

#include "kernels.hpp"

namespace {

template <int i>
struct Weight {
  Pair value;
};
template <int i, class V>
struct Ratio {
  V v, other;
};
template <int i, class V>
struct Excess {
  V v, other;
};
template <int i, class V>
struct Displacement {
  Pair square;
  V v;
};
template <int i, class V>
struct Mean {  // k_i
  Pair m;
  V other;
};
template <int i, class V>
struct Share {
  Pair m;
  V other;
};

// A number times the weight i.
template <int i, class Number>
struct Weighted {
  Pair weight;
  Number number;
};
template <int i, class Number>
INLINE Weighted<i, Number> operator*(Weight<i> g, Number number) {
  return {g.value, number};
}

// m is added in the same order for both indices, so that the compiler computes it only once.
template <int i, class V>
INLINE Mean<i, V> operator+(Weight<i> g, Weighted<3 - i, Ratio<i, V>> r) {
  const Pair mine = g.value * r.number.other, others = r.weight * r.number.v;
  return {i == 1 ? mine + others : others + mine, r.number.other};
}
template <int i, class V>
INLINE Share<i, V> operator/(Weight<i>, Mean<i, V> k) {
  return {k.m, k.other};
}

// p_s d_i, and the terms of the means: g_i d_i p_i d_i and (p_j d_i)^2, without the squares of g_i and of g_j.
template <int s, int i, class V>
struct Shift {
  Share<s, V> p;
  Displacement<i, V> d;
};
template <int s, int i, class V>
INLINE Shift<s, i, V> operator*(Share<s, V> p, Displacement<i, V> d) {
  return {p, d};
}
template <int i>
struct MeanTerm {
  Pair value;
};
template <int i, class V>
INLINE MeanTerm<i> operator*(Weighted<i, Displacement<i, V>>, Shift<i, i, V> a) {
  return {(a.d.square / a.p.m) * quotient(a.p.other, a.d.v)};
}
template <int s, int i, class V>
INLINE MeanTerm<s> operator*(Shift<s, i, V> a, Shift<s, i, V>) {
  static_assert(s != i);  // so the variance in d_i cancels one of those in p_s
  return {(a.d.square / a.p.m) * a.p.other / a.p.m};
}

// What one KL divergence, times 2, adds to the sums of its row: g_j times `linear`, g_j^2 times `quadratic`, and, from the kernel,
// minus or plus the logarithm of k_i, which belongs to a product.
template <int i, class V>
struct Late {
  Pair linear;
  Mean<i, V> k;
  Pair quadratic;
};
template <int i, class V>
INLINE Late<i, V> operator+(Late<i, V> a, MeanTerm<3 - i> b) {
  return {a.linear, a.k, b.value};
}
template <int i, class V>
INLINE Late<i, V> operator/(Late<i, V> a, Whole<2>) { return a; }  // the sum is halved

// x - log(k) for x = g_j e_i; of e_i = r_i - 1 the sum takes 1 from all columns together.
struct LateG {
  template <int i, class V, class Other>
  INLINE_MEMBER Late<i, V> operator()(Weighted<3 - i, Excess<i, V>> x, Mean<i, V> k, Other, Unused) const {
    return {quotient(x.number.v, x.number.other), k, Pair{}};
  }
};
// log(k) - x/k, where -x/k = g_j (v_j - v_i)/m.
struct LateGs {
  template <int i, class V, class Other>
  INLINE_MEMBER Late<i, V> operator()(Weighted<3 - i, Excess<i, V>> x, Mean<i, V> k, Other, Unused) const {
    const V v = x.number.v, other = x.number.other;
    const Pair apart = (i == 1 ? exact_difference(v, other) : exact_difference(other, v)) / k.m;  // (v1 - v2)/m for both indices
    return {i == 1 ? -apart : apart, k, Pair{}};
  }
};

// All scalars of a column, and the types of their weights and kernels.
template <class V>
struct LateScalars {
  Ratio<1, V> r1;
  Ratio<2, V> r2;
  Excess<1, V> e1;
  Excess<2, V> e2;
  Displacement<1, V> d1;
  Displacement<2, V> d2;
  Truth sound;

  typedef Weight<1> Weight1;
  typedef Weight<2> Weight2;
  typedef LateG G;
  typedef LateGs Gs;
};
template <class V>
INLINE LateScalars<V> late_scalars(V v1, V v2, Pair square, Truth sound) {
  return {{v1, v2}, {v2, v1}, {v1, v2}, {v2, v1}, {square, v1}, {square, v2}, sound};
}

// A product of fractions whose parts lie between 2^-101 and 2^101, as a fraction times a power of two.
struct Product {
  Pair over = pair(1), under = pair(1);
  Lanes exponent = {};

  template <class V>
  INLINE_MEMBER void multiply(Pair number, V divisor) {
    over = over * number, under = under * divisor;
  }
  // Brings both parts near 1: to be called after eight products at the latest.
  INLINE_MEMBER void settle() { exponent += settled(over), exponent -= settled(under); }
  INLINE_MEMBER static Lanes settled(Pair &number) {
    Bits power = exponent_of(number);
    Lanes scale = power_of_two(2046 - power);
    number = fast_two_sum(number.high * scale, number.low * scale);
    return number_of(power);
  }
  // log(1 + f) = 2 artanh(q) = q (2 + w 2P(w)), as in `special.py`.
  INLINE_MEMBER Pair logarithm() const {
    Pair number = over / under;
    number = fast_two_sum(number.high, number.low);
    auto [f, m, log_rest] = Split{}(number + every(-1), number);
    (void)m;
    Pair q = f / (f + 2.0), w = q * q;
    return (log_rest + pair(LOG2) * exponent) + q * (w * Tail{}(w) + every(2));
  }
};

// The sums over the columns of a row.
struct LateSum {
  Pair linear1 = {}, linear2 = {}, quadratic1 = {}, quadratic2 = {};
  Product k1, k2;

  template <class V>
  INLINE_MEMBER void add(Two<Late<1, V>, Late<2, V>> kl) {
    linear1 = linear1 + kl.first.linear, quadratic1 = quadratic1 + kl.first.quadratic;
    linear2 = linear2 + kl.second.linear, quadratic2 = quadratic2 + kl.second.quadratic;
    k1.multiply(kl.first.k.m, kl.first.k.other), k2.multiply(kl.second.k.m, kl.second.k.other);
  }
  INLINE_MEMBER void settle() { k1.settle(), k2.settle(); }
  INLINE_MEMBER Pair total(const Weights &w, bool dual, int64_t steps) {
    settle();
    const Lanes ones = every(dual ? 0 : -double(steps));
    const Pair rest1 = w.g2 * ((linear1 + ones) + w.g2 * quadratic1), rest2 = w.g1 * ((linear2 + ones) + w.g1 * quadratic2);
    const Pair log1 = k1.logarithm(), log2 = k2.logarithm();
    Pair sum = skew(w.w1, w.w2, rest1 + (dual ? log1 : -log1), rest2 + (dual ? log2 : -log2));
    return {0.5 * sum.high, 0.5 * sum.low};
  }
};

}  // namespace
