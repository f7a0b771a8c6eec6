// Derivatives of the divergences of diagonal Gaussians, in pairs of doubles, rounded once where the bound on their error allows it.
// The formulas are those of formula.py.  Compiled once for every instruction set, as the function NAME.
#include "diagonal.hpp"

#include "members.hpp"
#include "number.hpp"

namespace {

// Limits of variances, displacements, differences of log-variances, and alpha, within which no low part underflows.
const double WIDEST = 0x1p60, WIDEST_LOGVAR = 41.5, LEAST = 0x1p-53;
INLINE Truth inside(Lanes x) { return between(x, 1 / WIDEST, WIDEST); }
INLINE Truth zero_or_inside(Lanes x) { return (x == 0) | inside(absolute(x)); }

// A log-variance and a variance that differ by less than this share are left undecided.
const double APART = 0.125;

// The bound on the error of a derivative, relative to the sizes of its terms (verification/README.md, "Derivatives in the
// compiled core"), and the factor by which that of g and gs is larger.
const double UNIT = 0x1p-79, KERNEL_UNITS = 32;

// A sum of products, and the sum of the sizes of these products, to which its error is relative.
struct Sized {
  Number value;
  Lanes size;
};
INLINE Sized sized(Number x) { return {x, absolute(x.high)}; }
INLINE Sized operator-(Sized a) { return {-a.value, a.size}; }
INLINE Sized operator+(Sized a, Sized b) { return {a.value + b.value, a.size + b.size}; }
INLINE Sized operator-(Sized a, Sized b) { return a + -b; }
INLINE Sized operator*(Sized a, Sized b) { return {a.value * b.value, a.size * b.size}; }
INLINE Sized operator/(Sized a, Sized b) { return {a.value / b.value, a.size / absolute(b.value.high)}; }
INLINE Sized operator+(Whole<2>, Sized a) { return sized(number(2)) + a; }
INLINE Sized operator*(Whole<2>, Sized a) { return a + a; }
INLINE Sized operator/(Sized a, Whole<2>) { return {Number{0.5 * a.value.high, 0.5 * a.value.low}, 0.5 * a.size}; }
INLINE Sized operator*(int slope, Sized a) { return slope > 0 ? a : -a; }

// A multiple of 1/sqrt(v); this root is never computed, because the formula always multiplies two of them.
struct Rooted {
  Sized factor, inverse_v;
};
INLINE Rooted operator*(Sized a, Rooted b) { return {a * b.factor, b.inverse_v}; }
INLINE Rooted operator*(Rooted a, Sized b) { return b * a; }
INLINE Rooted operator+(Rooted a, Rooted b) { return {a.factor + b.factor, a.inverse_v}; }
INLINE Rooted operator*(Whole<2>, Rooted a) { return a + a; }
INLINE Sized operator*(Rooted a, Rooted b) { return a.factor * b.factor * a.inverse_v; }

template <bool dual>
struct SizedKernel {
  INLINE_MEMBER Sized operator()(Sized x, Sized k, Sized, Unused beyond) const {
    const Pair of_x = x.value, of_k = k.value;
    Pair found;
    if constexpr (dual) found = split_gs(of_x, of_k, of_k, beyond, Split{}, LongTail{});
    else found = split_g(of_x, of_k, of_k, beyond, Split{}, LongTail{});
    return {settled(found), KERNEL_UNITS * absolute(found.high)};
  }
};

// The scalars of formula.py.
struct Scalars {
  Number r1, r2, e1, e2, delta, inverse_v1, inverse_v2;
  Truth sound;
};
INLINE Number variance(int32_t form, Lanes scale) {
  if (form == VAR) return exact(scale);
  if (form == STD) return two_product(scale, scale);
  return settled(grown(exact(scale)).value + poison(between(scale, -WIDEST_LOGVAR, WIDEST_LOGVAR)));
}
const int MIXED = 3;
template <int form>
INLINE Scalars scalars(int32_t form1, int32_t form2, Lanes mean1, Lanes scale1, Lanes mean2, Lanes scale2) {
  Scalars s;
  s.delta = two_sum(mean1, -mean2);
  s.sound = zero_or_inside(s.delta.high);
  if constexpr (form == LOGVAR) {
    const Pair u = two_sum(scale1, -scale2);
    const Exponential ratio = grown(u);
    s.r1 = settled(ratio.value), s.e1 = settled(ratio.minus_one), s.r2 = number(1) / s.r1, s.e2 = -(s.e1 * s.r2);
    s.inverse_v2 = settled(grown(exact(-scale2)).value), s.inverse_v1 = s.inverse_v2 * s.r2;
    s.sound &= zero_or_inside(u.high) & between(scale1, -WIDEST_LOGVAR, WIDEST_LOGVAR) & between(scale2, -WIDEST_LOGVAR, WIDEST_LOGVAR);
  } else {
    const Number v1 = variance(form == VAR ? VAR : form1, scale1), v2 = variance(form == VAR ? VAR : form2, scale2);
    const Number difference = apart(v1, v2);
    s.inverse_v1 = number(1) / v1, s.inverse_v2 = number(1) / v2;
    s.r1 = v1 * s.inverse_v2, s.r2 = v2 * s.inverse_v1, s.e1 = difference * s.inverse_v2, s.e2 = -(difference * s.inverse_v1);
    s.sound &= inside(v1.high) & inside(v2.high);
    if (form == MIXED && (form1 == LOGVAR) != (form2 == LOGVAR)) s.sound &= absolute(s.e1.high) >= APART;
  }
  return s;
}

// The derivatives by mean1, v1, log v1, v2, log v2 and alpha.
struct Derivatives {
  Sized of[6];
};
template <bool dual>
INLINE Derivatives derivatives(const Scalars &s, const Weights &w, bool reversed) {
  const Sized w1 = sized(w.w1), w2 = sized(w.w2);
  auto [g1, g2, slope] = mean_weights(w1, w2, reversed);
  const Sized r1 = sized(s.r1), r2 = sized(s.r2), e1 = sized(s.e1), e2 = sized(s.e2);
  const Rooted i1 = {sized(number(1)), sized(s.inverse_v1)}, i2 = {sized(number(1)), sized(s.inverse_v2)};
  const Rooted d1 = {sized(s.delta), i1.inverse_v}, d2 = {sized(s.delta), i2.inverse_v};
  const SizedKernel<dual> kernel;
  auto found = [&] {
    if constexpr (dual) {
      auto [kl1, kl2] = from_mean(g1, g2, Unused{}, r1, r2, e1, e2, d1, d2, kernel);
      return many(from_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2),
                  from_mean_grad(w2, w1, g2, g1, r2, r1, e2, e1, d2, d1, i2, i1).second,
                  from_mean_by_alpha(w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, d1, d2));
    } else {
      auto [kl1, kl2] = to_mean(g1, g2, Unused{}, r1, r2, e1, e2, d1, d2, kernel);
      return many(to_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2),
                  to_mean_grad(w2, w1, g2, g1, r2, r1, e2, e1, d2, d1, i2, i1).second,
                  to_mean_by_alpha(w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, d1, d2));
    }
  }();
  const Sized logvar1 = found.first.second, logvar2 = found.second;
  return {{found.first.first, logvar1 * i1.inverse_v, logvar1, logvar2 * i2.inverse_v, logvar2, found.third}};
}

template <int form, bool dual>
int64_t evaluated(const Batch &b, int64_t first, int64_t last) {
  int64_t open = 0;
  const int64_t all = b.rows * b.n;
  for (int64_t row = first, count; row < last; row += count) {
    count = last - row < LANES ? last - row : LANES;
    const bool columns = count * ((b.n + LANES - 1) / LANES) < b.n;  // by columns if that takes fewer steps
    if (columns) count = 1;
    const Weights w = weights(lanes_from(b.alpha + row * b.alpha_stride, columns ? 0 : b.alpha_stride, count), b.reversed, LEAST);
    Truth decided = ~Truth{};
    Sized by_alpha = sized(number(0));
    for (int64_t i = 0, step = columns ? LANES : 1; i < b.n; i += step) {
      const int64_t valid = columns ? (b.n - i < LANES ? b.n - i : LANES) : count;
      auto read = [&](const double *from, int64_t stride) { return lanes_from(from + row * stride + i, columns ? 1 : stride, valid); };
      const Scalars s = scalars<form>(b.form1, b.form2, read(b.mean1, b.mean1_stride), read(b.scale1, b.scale1_stride),
                                      read(b.mean2, b.mean2_stride), read(b.scale2, b.scale2_stride));
      Derivatives found = derivatives<dual>(s, w, b.reversed);
      for (int which = 0; which < 5; which++) {
        const Lanes nearest = nearest_in_lanes(found.of[which].value, UNIT * found.of[which].size);
        decided &= nearest == nearest;
        double *to = b.values + which * all + row * b.n + i;
        if (columns && valid == LANES) std::memcpy(to, &nearest, sizeof nearest);
        else for (int64_t at = 0; at < valid; at++) to[columns ? at : at * b.n] = lane(nearest, at);
      }
      Sized &last_one = found.of[5];
      last_one.value.high += poison(s.sound);
      if (columns)
        for (int64_t lane = valid; lane < LANES; lane++)
          set_lane(last_one.value.high, lane, 0), set_lane(last_one.value.low, lane, 0), set_lane(last_one.size, lane, 0);
      by_alpha = by_alpha + last_one;
    }
    by_alpha.value.high += poison(decided);
    if (columns) by_alpha = {across(by_alpha.value), across(by_alpha.size)};
    const double of_sum = UNIT + 0x1p-98 * double(b.n + LANES);
    const Lanes nearest = nearest_in_lanes(by_alpha.value, of_sum * by_alpha.size);
    for (int64_t i = 0; i < count; i++) {
      double &to = b.values[5 * all + row + i];
      to = lane(nearest, i);
      open += to != to;
    }
  }
  return open;
}

}  // namespace

extern "C" int64_t NAME(const Batch &batch, int64_t first, int64_t last) {
  const int form = batch.form1 == batch.form2 && batch.form1 != STD ? batch.form1 : MIXED;
  const bool dual = batch.divergence == JSG_DUAL;
  if (form == VAR) return (dual ? evaluated<VAR, true> : evaluated<VAR, false>)(batch, first, last);
  if (form == LOGVAR) return (dual ? evaluated<LOGVAR, true> : evaluated<LOGVAR, false>)(batch, first, last);
  return (dual ? evaluated<MIXED, true> : evaluated<MIXED, false>)(batch, first, last);
}
