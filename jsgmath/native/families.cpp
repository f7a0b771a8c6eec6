// Divergences of exponential families in pairs of doubles, rounded once where the bound on their error allows it.
//
// The formulas are those of terms.py.  Compiled once for every instruction set, as the function NAME.
#include "members.hpp"

namespace {

struct Exponentials {
  // Two numbers whose ratio is the rate of N2 over that of N1.
  INLINE_MEMBER static Two<Pair, Pair> rates(const Members &in) {
    const Lanes x = in(0), y = in(2);
    Pair sound = exact(poison(moderate(x) & moderate(y)));
    if (in.form1 == in.form2) return in.form1 == PLAIN ? many(exact(x) + sound, exact(y)) : many(exact(y) + sound, exact(x));
    const Pair product = two_product(x, y) + sound;
    return in.form1 == PLAIN ? many(product, pair(1)) : many(pair(1), product);
  }
  template <int divergence>
  INLINE_MEMBER static Value value(const Members &in, const Weights &w) {
    auto [x1, x2] = rates(in);
    if constexpr (divergence == DIRECT) return bounded(exponential_direct(x1, x2, Difference{}, Kernel{}));
    else if constexpr (divergence == TO_MEAN) return bounded(w, exponential_to_mean(x1, x2, w.g1, w.g2, Difference{}, Kernel{}));
    else return bounded(w, exponential_from_mean(x1, x2, w.g1, w.g2, Difference{}, Kernel{}));
  }
};

struct Poissons {
  template <int divergence>
  INLINE_MEMBER static Value value(const Members &in, const Weights &w) {
    const Lanes x = in(0), y = in(2);
    const Pair l1 = exact(x + poison(moderate(x) & moderate(y))), l2 = exact(y);
    if constexpr (divergence == DIRECT) return bounded(poisson_direct(l1, l2, Difference{}, Kernel{}));
    else if constexpr (divergence == TO_MEAN) return bounded(w, poisson_to_mean(l1, l2, w.g1, w.g2, Difference{}, Logarithm{}, Growth{}));
    else return bounded(w, poisson_from_mean(l1, l2, w.g1, w.g2, Difference{}, Logarithm{}, Growth{}));
  }
};

// Log-odds whose exponentials are within the limits, and two whose difference is 0 or within them.
const double LARGEST_LOGIT = 69.3;
INLINE Truth moderate_logit(Lanes x) { return between(x, -LARGEST_LOGIT, LARGEST_LOGIT); }
INLINE Truth zero_or_moderate(Lanes x) { return (x == 0) | moderate(absolute(x)); }

// A probability and one from log-odds that differ by less than this share of the larger are left undecided.
const double APART = 0.125;

// Two Bernoulli or geometric distributions: p, q = 1 - p, and p1 - p2.
struct Odds {
  Pair p1, q1, p2, q2, d;
};
template <class Found>
INLINE Odds odds(Found found, Truth sound) {
  auto [p1, q1, p2, q2, d] = found;
  const Pair beyond = exact(poison(sound));
  return {p1 + beyond, q1 + beyond, p2, q2, d};
}
INLINE Truth moderate_probability(Lanes p) { return between(p, 1 / LARGEST, 1 - 0x1p-53); }
INLINE Odds odds_inlined(const Members &in) {
  const Lanes x = in(0), y = in(2);
  if (in.form1 == PLAIN && in.form2 == PLAIN)
    return odds(of_probabilities(exact(x), exact(y), Difference{}), moderate_probability(x) & moderate_probability(y));
  if (in.form1 == INVERSE && in.form2 == INVERSE)
    return odds(of_log_odds(exact(x), exact(y), Growth{}), moderate_logit(x) & moderate_logit(y) & zero_or_moderate(x - y));
  const bool first = in.form1 == PLAIN;
  const Lanes p = first ? x : y, logit = first ? y : x;
  auto [p1, q1, p2, q2, d] = of_both(exact(p), exact(logit), Difference{}, Growth{});
  const Truth apart = absolute(d.high) >= APART * larger(p1.high, p2.high), sound = moderate_probability(p) & moderate_logit(logit) & apart;
  return odds(first ? many(p1, q1, p2, q2, d) : many(p2, q2, p1, q1, -d), sound);
}

NOINLINE Odds odds_apart(const Members &in) { return odds_inlined(in); }
template <int divergence>
INLINE Odds odds(const Members &in) {
  return divergence == DIRECT ? odds_inlined(in) : odds_apart(in);
}

struct Geometrics {
  template <int divergence>
  INLINE_MEMBER static Value value(const Members &in, const Weights &w) {
    auto [p1, q1, p2, q2, d] = odds<divergence>(in);
    if constexpr (divergence == DIRECT) return bounded(geometric_direct(p1, q1, p2, q2, d, Kernel{}));
    else if constexpr (divergence == TO_MEAN)
      return bounded(w, geometric_to_mean(p1, q1, p2, q2, d, w.g1, w.g2, Kernel{}, Logarithm{}, Growth{}));
    else return bounded(w, geometric_from_mean(p1, q1, p2, q2, d, w.g1, w.g2, Kernel{}, Logarithm{}, Growth{}));
  }
};

struct Bernoullis {
  template <int divergence>
  INLINE_MEMBER static Value value(const Members &in, const Weights &w) {
    auto [p1, q1, p2, q2, d] = odds<divergence>(in);
    if constexpr (divergence == DIRECT) return bounded(bernoulli_direct(p1, q1, p2, q2, d, Kernel{}));
    const bool logits = in.form1 == INVERSE && in.form2 == INVERSE;
    Pair t;
    if (logits) t = two_sum(in(2), -in(0));
    else t = log_odds_between(p1, q1, p2, q2, d, Logarithm{});
    if constexpr (divergence == TO_MEAN) return bounded(w, bernoulli_to_mean(p1, q1, p2, q2, t, w.g1, w.g2, Kernel{}, Growth{}));
    else return bounded(w, bernoulli_from_mean(p1, q1, p2, q2, t, w.g1, w.g2, Kernel{}, Growth{}));
  }
};

// Logits may be at most this far below the largest.
const double LARGEST_SPREAD = 150;
// Bounds on the error of the logarithm of a ratio, relative and absolute, between weights, logits, or one of each.
struct Precision {
  double relative, absolute;
};
const Precision OF_WEIGHTS = {0x1p-79, 0x1p-101}, OF_LOGITS = {0x1p-103, 0x1p-103}, OF_BOTH = {0x1p-79, 0x1p-78};
// A bound on half the square of the error that all have in common, in units of 1 + log(Z)^2; for weights without a mean.
const double SECOND_ORDER = 0x1p-156, SECOND_ORDER_DIRECT = 0x1p-160;

// Makes the low part of a number smaller than a unit of the last place again, after a cancellation.
INLINE Pair settled(Pair x) { return two_sum(x.high, x.low); }

// Numbers of each outcome: weights in proportion to both probabilities, and the logarithm t of the ratio of the second probability
// to the first.  An error of t that all outcomes have in common only counts by its square.
struct Outcomes {
  Pair *p1, *p2, *t;
  Pair inverse1, inverse2;  // of the totals
  Truth sound, same;        // whether all are within the limits; whether both members are given by the same numbers

  // The weights, or the exponentials of the logits, and their total.
  INLINE_MEMBER Pair listed(const Members &in, int which, int32_t form, Pair *to) {
    Pair sum = {};
    Lanes most = every(-__builtin_inf());
    if (form == INVERSE)
      for (int64_t i = 0; i < in.k; i++) most = larger(in(which, i), most);
    for (int64_t i = 0; i < in.k; i++) {
      const Lanes x = in(which, i);
      if (form == PLAIN) {
        to[i] = exact(x), sound &= (x == 0) | moderate(x);
      } else {
        const Truth none = x == every(-__builtin_inf());
        const Pair below = two_sum(none ? most : x, -most), size = grown(below).value;
        to[i] = {none ? Lanes{} : size.high, none ? Lanes{} : size.low};
        sound &= below.high >= every(-LARGEST_SPREAD);
      }
      sum = sum + to[i];
    }
    return sum;
  }
  INLINE_MEMBER explicit Outcomes(const Members &in) {
    p1 = in.memory, p2 = p1 + in.k, t = p2 + in.k;
    sound = same = ~Truth{};
    const Pair sum1 = listed(in, 0, in.form1, p1), sum2 = listed(in, 2, in.form2, p2);
    inverse1 = 1.0 / sum1, inverse2 = 1.0 / sum2;
  }
};

struct Categoricals {
  template <int divergence>
  INLINE_MEMBER static Value value(const Members &in, const Weights &w) {
    Outcomes all{in};
    const bool logits = in.form1 == INVERSE && in.form2 == INVERSE, weights = in.form1 == PLAIN && in.form2 == PLAIN;
    const Precision found = logits ? OF_LOGITS : weights ? OF_WEIGHTS : OF_BOTH;
    const Pair ratio = all.inverse1 / all.inverse2;  // of the totals, for weights
    Pair shift = {};
    if (logits) {
      Lanes top1 = in(0), top2 = in(2);
      for (int64_t i = 1; i < in.k; i++) top1 = larger(in(0, i), top1), top2 = larger(in(2, i), top2);
      shift = two_sum(top2, -top1) + Logarithm{}(settled(ratio - pair(1)), ratio);
    }
    const Lanes absolute_error = logits ? found.absolute * absolute(shift.high) : every(found.absolute);

    Pair one = {}, two = {}, beyond = {}, excess = {}, whole = {};
    Lanes error = {}, spread = {};
    for (int64_t i = 0; i < in.k; i++) {
      const Pair p1 = all.p1[i], p2 = all.p2[i];
      const Truth zero1 = p1.high == 0, zero2 = p2.high == 0, zero = zero1 | zero2;
      const Lanes x1 = in(0, i), x2 = in(2, i);
      if (weights || logits) all.same &= x1 == x2;
      else all.same = Truth{};
      if (divergence == DIRECT) all.sound &= zero1 | ~zero2;
      else all.sound &= ~(zero1 ^ zero2);
      if (divergence == DIRECT) {
        const Pair rest = {zero1 ? p2.high : Lanes{}, zero1 ? p2.low : Lanes{}};
        beyond = beyond + rest;
      }
      Pair t, e, k;
      if (logits) {
        t = settled(two_sum(zero ? Lanes{} : x2, zero ? Lanes{} : -x1) - shift);
        t = {zero ? Lanes{} : t.high, zero ? Lanes{} : t.low};
      } else {
        const Pair first = {zero ? every(1) : p1.high, zero ? Lanes{} : p1.low}, second = {zero ? every(1) : p2.high, zero ? Lanes{} : p2.low};
        const Pair scaled = ratio * first;
        e = difference(second, scaled) / scaled, k = second / scaled;
      }
      if constexpr (divergence == DIRECT) {
        if (logits) {
          const Exponential step = grown(t);
          one = one + p1 * step.minus_one_and_x;
          error += p1.high * absolute(step.minus_one.high) * (found.relative * absolute(t.high) + absolute_error);
        } else {
          one = one + p1 * Kernel{}(e, k);
          error += p1.high * absolute(e.high) * absolute_error;
        }
      } else {
        if (!logits) t = Logarithm{}(e, k);
        all.t[i] = t;
        const Exponential step = grown(w.g2 * t);
        excess = excess + p1 * step.minus_one, whole = whole + p1 * step.value;
      }
    }
    Pair value;
    Lanes square = {};
    if constexpr (divergence == DIRECT) {
      value = one * all.inverse1 + beyond * all.inverse2;
      error = error * all.inverse1.high;
    } else {
      const Pair log_z = Logarithm{}(settled(excess * all.inverse1), whole * all.inverse1);
      for (int64_t i = 0; i < in.k; i++) {
        const Pair t = all.t[i], p1 = all.p1[i] * all.inverse1, p2 = all.p2[i] * all.inverse2;
        const Pair s1 = settled(w.g2 * t - log_z), s2 = settled(-(w.g1 * t) - log_z);
        const Lanes of_t = found.relative * absolute(t.high) + absolute_error;
        if constexpr (divergence == TO_MEAN) {
          const Exponential step1 = grown(s1), step2 = grown(s2);
          one = one + p1 * step1.minus_one_and_x, two = two + p2 * step2.minus_one_and_x;
          error += of_t * (w.w1.high * w.g2.high * p1.high * absolute(step1.minus_one.high) +
                           w.w2.high * w.g1.high * p2.high * absolute(step2.minus_one.high));
        } else {
          const Pair mean = p1 * grown(s1).value;
          one = one + mean * grown(-s1).minus_one_and_x, two = two + mean * grown(-s2).minus_one_and_x;
          error += of_t * mean.high * (w.w1.high * w.g2.high * absolute(s1.high) + w.w2.high * w.g1.high * absolute(s2.high));
          spread += of_t * mean.high;
        }
      }
      value = skew(w.w1, w.w2, one, two);
      square = log_z.high * log_z.high;
    }
    const double of_sum = BOUND_SUM * double(in.k) * double(in.k);
    error = 2 * (error + spread * value.high) + (BOUND + of_sum) * value.high + (divergence == DIRECT && weights ? SECOND_ORDER_DIRECT : SECOND_ORDER) * (1 + square);
    const Lanes sound = poison(all.sound);
    return {{(all.same ? Lanes{} : value.high) + sound, all.same ? Lanes{} : value.low}, all.same ? Lanes{} : error};
  }
};

}  // namespace

extern "C" int64_t NAME(const FamilyBatch &batch, int64_t first, int64_t last) {
  static EvaluateFamily *const choices[] = {of_kind<Exponentials, true>, of_kind<Poissons>, of_kind<Geometrics>, of_kind<Bernoullis>,
                                            of_kind<Categoricals>};
  return choices[batch.family](batch, first, last);
}
