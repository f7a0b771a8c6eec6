// Divergences of diagonal Gaussians in pairs of doubles, rounded once where the bound on their error allows it.
//
// Compiled once for every instruction set, as the function NAME.  The loops below go over the elements of a block, so
// that the compiler makes vectors of them.
#include "diagonal.hpp"

#include "kernels.hpp"

namespace {

const int64_t BLOCK = 128;

// Within these limits nothing overflows, and no low part underflows: variances lie between 1/LARGEST and LARGEST,
// displacements are 0 or lie between 1/LARGEST and LARGEST, alpha is 0 or at least LEAST_ALPHA, log-variances that
// differ do so by at least 1/LARGEST.  What lies outside becomes NaN.
const double LARGEST = 0x1p100, LARGEST_STD = 0x1p50, LARGEST_LOGVAR = 69.3;

INLINE bool zero_or_sound(double x) { return (x == 0) | between(__builtin_fabs(x), 1 / LARGEST, LARGEST); }

// A log-variance and a variance closer than this factor are compared elsewhere.
const double APART = 0.125;

// An array of pairs.
struct Pairs {
  double high[BLOCK], low[BLOCK];
  INLINE_MEMBER Pair operator[](int64_t i) const { return {high[i], low[i]}; }
  INLINE_MEMBER void set(int64_t i, Pair x) {
    high[i] = x.high;
    low[i] = x.low;
  }
};

// The scalars of `formula.py`, of each element of a block; of d1 and d2 their squares.
struct Scalars {
  Pairs r1, r2, e1, e2, d1, d2;
};

struct Inputs {
  const double *mean1, *scale1, *mean2, *scale2;
};

// e2 = (v2 - v1)/v1 = -e1 v2/v1 and d1^2 = d2^2 v2/v1.
INLINE void set(Scalars &to, int64_t i, Pair r1, Pair r2, Pair e1, Pair d2, bool sound) {
  Pair d1 = d2 * r2;
  double unsound = poison(sound);
  to.r1.set(i, r1);
  to.r2.set(i, r2);
  to.e1.set(i, e1);
  to.e2.set(i, -(e1 * r2));
  to.d1.set(i, d1 + unsound);
  to.d2.set(i, d2 + unsound);
}

void both_var(const Inputs &in, Scalars &to, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double v1 = in.scale1[i], v2 = in.scale2[i];
    Pair delta = two_sum(in.mean1[i], -in.mean2[i]);
    bool sound = between(v1, 1 / LARGEST, LARGEST) & between(v2, 1 / LARGEST, LARGEST) & zero_or_sound(delta.high);
    set(to, i, Pair{v1, 0.0} / v2, Pair{v2, 0.0} / v1, two_sum(v1, -v2) / v2, (delta * delta) / v2, sound);
  }
}

void both_std(const Inputs &in, Scalars &to, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double s1 = in.scale1[i], s2 = in.scale2[i];
    Pair v1 = two_product(s1, s1), v2 = two_product(s2, s2), delta = two_sum(in.mean1[i], -in.mean2[i]);
    Pair e1 = (two_sum(s1, -s2) * two_sum(s1, s2)) / v2;
    bool sound = between(s1, 1 / LARGEST_STD, LARGEST_STD) & between(s2, 1 / LARGEST_STD, LARGEST_STD);
    set(to, i, v1 / v2, v2 / v1, e1, (delta * delta) / v2, sound & zero_or_sound(delta.high));
  }
}

void both_logvar(const Inputs &in, Scalars &to, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double s1 = in.scale1[i], s2 = in.scale2[i];
    Pair u = two_sum(s1, -s2), delta = two_sum(in.mean1[i], -in.mean2[i]);
    bool sound = between(s1, -LARGEST_LOGVAR, LARGEST_LOGVAR) & between(s2, -LARGEST_LOGVAR, LARGEST_LOGVAR);
    Exponential ratio = exponential(u);
    Pair inverse = exponential({-s2, 0.0}).value;
    sound = sound & zero_or_sound(u.high) & zero_or_sound(delta.high);
    set(to, i, ratio.value, 1.0 / ratio.value, ratio.minus_one, (delta * delta) * inverse, sound);
  }
}

// Variances in any form; a variance of NaN stands for one outside the limits.
void variances(int32_t form, const double *scale, Pairs &to, int64_t count) {
  if (form == LOGVAR) {
    for (int64_t i = 0; i < count; i++) {
      double s = scale[i];
      to.set(i, exponential({s, 0.0}).value + poison(between(s, -LARGEST_LOGVAR, LARGEST_LOGVAR)));
    }
  } else {
    for (int64_t i = 0; i < count; i++) {
      double s = scale[i];
      Pair v = two_product(s, form == STD ? s : 1.0);
      to.set(i, v + poison(between(v.high, 1 / LARGEST, LARGEST)));
    }
  }
}

void mixed(const Inputs &in, int32_t form1, int32_t form2, Scalars &to, int64_t count) {
  Pairs v1, v2;
  variances(form1, in.scale1, v1, count);
  variances(form2, in.scale2, v2, count);
  double apart = form1 == LOGVAR || form2 == LOGVAR ? APART : 0.0;  // the others are exact, and so is their difference
  for (int64_t i = 0; i < count; i++) {
    Pair a = v1[i], b = v2[i], delta = two_sum(in.mean1[i], -in.mean2[i]);
    Pair e1 = difference(a, b) / b;
    bool sound = zero_or_sound(delta.high) & (__builtin_fabs(e1.high) >= apart);
    set(to, i, a / b, b / a, e1, (delta * delta) / b, sound);
  }
}

void reduce(const Batch &batch, const Inputs &in, Scalars &to, int64_t count) {
  if (batch.form1 != batch.form2) mixed(in, batch.form1, batch.form2, to, count);
  else if (batch.form1 == VAR) both_var(in, to, count);
  else if (batch.form1 == STD) both_std(in, to, count);
  else both_logvar(in, to, count);
}

template <bool dual>
INLINE Pair element(const Scalars &s, int64_t i, Weights w) {
  if constexpr (dual) {
    auto [kl1, kl2] = from_mean(w.g1, w.g2, Unused{}, s.r1[i], s.r2[i], s.e1[i], s.e2[i], Root{s.d1[i]}, Root{s.d2[i]}, Gs{});
    return skew(w.w1, w.w2, kl1, kl2);
  } else {
    auto [kl1, kl2] = to_mean(w.g1, w.g2, Unused{}, s.r1[i], s.r2[i], s.e1[i], s.e2[i], Root{s.d1[i]}, Root{s.d2[i]}, G{});
    return skew(w.w1, w.w2, kl1, kl2);
  }
}

template <bool dual, bool reversed>
void elements(const Scalars &s, const double *alpha, Pairs &to, int64_t count) {
  for (int64_t i = 0; i < count; i++) to.set(i, element<dual>(s, i, weights(alpha[i], reversed)));
}

// KL(N1||N2) and KL(N2||N1) are JSG at alpha 0 and 1.
void jeffreys(const Scalars &s, Pairs &to, int64_t count) {
  Weights forward = weights(0.0, true), backward = weights(1.0, true);
  for (int64_t i = 0; i < count; i++) to.set(i, element<false>(s, i, forward) + element<false>(s, i, backward));
}

// Bounds on the relative error of an element, and of the sum of n (verification/README.md).
const double BOUND = 0x1p-69, BOUND_SUM = 0x1p-104;

// The sum of some elements: eight sums side by side, then their sum.
INLINE Pair total(const Pairs &x, int64_t first, int64_t count) {
  double high[8] = {}, low[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int64_t j = 0; j < 8; j++) {
      Pair sum = Pair{high[j], low[j]} + x[first + i + j];
      high[j] = sum.high;
      low[j] = sum.low;
    }
  Pair sum = {0.0, 0.0};
  if (i)
    for (int64_t j = 0; j < 8; j++) sum = sum + Pair{high[j], low[j]};
  for (; i < count; i++) sum = sum + x[first + i];
  return sum;
}

// One array's elements from the start of a block on: its own, if the rows follow each other, else copies.
const double *loaded(const double *array, int64_t stride, int64_t n, int64_t start, int64_t count, double *copies) {
  if (stride) return array + start;
  for (int64_t i = 0, j = start % n; i < count; i++, j = j + 1 < n ? j + 1 : 0) copies[i] = array[j];
  return copies;
}

}  // namespace

extern "C" int64_t NAME(const Batch &batch, int64_t first, int64_t last) {
  double copies[4][BLOCK], alpha[BLOCK];
  Scalars scalars;
  Pairs values;
  const int64_t n = batch.n, end = last * n;
  const double bound = BOUND + BOUND_SUM * double(n) * double(n);
  int64_t row = first, column = 0, open = 0;
  for (double &x : alpha) x = batch.alpha[0];
  Pair sum = {0.0, 0.0};
  for (int64_t start = first * n; start < end; start += BLOCK) {
    const int64_t count = end - start < BLOCK ? end - start : BLOCK;
    Inputs in = {loaded(batch.mean1, batch.mean1_stride, n, start, count, copies[0]),
                 loaded(batch.scale1, batch.scale1_stride, n, start, count, copies[1]),
                 loaded(batch.mean2, batch.mean2_stride, n, start, count, copies[2]),
                 loaded(batch.scale2, batch.scale2_stride, n, start, count, copies[3])};
    reduce(batch, in, scalars, count);
    if (batch.divergence == JEFFREYS) {
      jeffreys(scalars, values, count);
    } else {
      if (batch.alpha_stride)
        for (int64_t i = 0; i < count; i++) alpha[i] = batch.alpha[(start + i) / n];
      const bool dual = batch.divergence == JSG_DUAL;
      auto of_reversed = dual ? elements<true, true> : elements<false, true>;
      auto of_original = dual ? elements<true, false> : elements<false, false>;
      (batch.reversed ? of_reversed : of_original)(scalars, alpha, values, count);
    }
    for (int64_t i = 0; i < count;) {
      const int64_t part = n - column < count - i ? n - column : count - i;
      sum = sum + total(values, i, part);
      i += part;
      column += part;
      if (column == n) {
        double value = batch.single ? nearest_single(sum, bound) : nearest(sum, bound);
        open += value != value;
        batch.values[row++] = value;
        column = 0;
        sum = {0.0, 0.0};
      }
    }
  }
  return open;
}
