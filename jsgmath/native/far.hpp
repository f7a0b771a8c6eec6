// One element of a tensor of doubles with log-variances or displacements for which pairs overflow.
#pragma once

#include "floats.hpp"

namespace {

struct Far {
  double value, by_mean1, by_logvar1, by_logvar2, by_alpha;
};

// Kernels for a log-ratio beyond the limit; and kernels that return 0, to compute the contribution of the displacements.
struct FarG {
  Pair operator()(Pair x, Pair k, Pair other_k, double beyond) const {
    return split_g(x, k, other_k, Pair{counting(k.high, beyond), 0.0}, Split{}, Tail{});
  }
};
struct FarGs {
  Pair operator()(Pair x, Pair k, Pair other_k, double beyond) const {
    return split_gs(x, k, other_k, Pair{counting(k.high, beyond), 0.0}, Split{}, Tail{});
  }
};
struct Nothing {
  Pair operator()(Pair, Pair, Pair, double) const { return {}; }
};

struct Terms {
  Pair kl1, kl2;
};
template <class Kernel>
Terms far_terms(bool dual, Pair g1, Pair g2, double beyond, Pair r1, Pair r2, Pair e1, Pair e2, Pair d1, Pair d2, Kernel kernel) {
  auto [kl1, kl2] = dual ? from_mean(g1, g2, beyond, r1, r2, e1, e2, d1, d2, kernel)
                         : to_mean(g1, g2, beyond, r1, r2, e1, e2, d1, d2, kernel);
  return {kl1, kl2};
}
Two<double, double> far_gradient(bool dual, double w1, double w2, double g1, double g2, double r1, double r2, double e1,
                                 double e2, double d1, double d2, double i1, double i2) {
  if (dual) return from_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2);
  return to_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2);
}
double far_by_alpha(bool dual, double w1, double w2, double g1, double g2, double slope, double kl1, double kl2, double r1,
                    double r2, double e1, double e2, double d1, double d2) {
  if (dual) return from_mean_by_alpha(w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, d1, d2);
  return to_mean_by_alpha(w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, d1, d2);
}

Pair clamped(Pair x, double limit) {
  if (x.high > limit) return {limit, 0.0};
  if (x.high < -limit) return {-limit, 0.0};
  return x;
}

const double DOMINANT = 0x1p500;

// Adds the contribution of the variances and that of the displacements, each computed without the other.  The log-ratio is
// clamped to WIDE.  A number that is then larger than DOMINANT is proportional to the ratio of the variances, so it is
// multiplied by the exponential of the part that was cut off.  Long displacements are divided by 2^300 before they are
// squared.  Values are computed in pairs, gradients in doubles.
NOINLINE Far far(double mean1, double logvar1, double mean2, double logvar2, double alpha, double factor,
                                  bool dual, bool reversed) {
  const double WIDE = 650, STEEP = 1416, LONG = 0x1p480, SCALE = 0x1p-300;
  const Pair w2 = {alpha, 0.0}, w1 = two_sum(1.0, -alpha), g1 = reversed ? w2 : w1, g2 = reversed ? w1 : w2;
  const Pair difference = two_sum(logvar1, -logvar2);
  const double cut = difference.high - within(difference.high, WIDE), beyond = within(cut, 0x1p1000);
  const Pair held = cut == 0 ? difference : Pair{within(difference.high, WIDE), 0.0};
  const Exponential half = exponential({0.5 * held.high, 0.5 * held.low});
  const Pair root = half.value, t = half.minus_one, inverse = 1.0 / root, none = {};
  const Pair r1 = root * root, r2 = inverse * inverse, e1 = t * (t + 2.0), e2 = -(e1 * r2);
  const double boost = exponential({within(__builtin_fabs(cut), WIDE), 0.0}).value.high;
  auto boosted = [&](double x) { return cut != 0 && __builtin_fabs(x) > DOMINANT ? x * boost : x; };

  Pair i1 = exponential({-0.5 * within(logvar1, STEEP), 0.0}).value, i2 = exponential({-0.5 * within(logvar2, STEEP), 0.0}).value;
  // The dual multiplies a displacement by the smaller ratio, which is clamped, and which makes this product negligible.
  if (dual && cut > 0 && (g1 + g2 * r1).high > DOMINANT) i2 = i1 * root;
  if (dual && cut < 0 && (g2 + g1 * r2).high > DOMINANT) i1 = i2 * inverse;
  const Pair delta = __builtin_isinf(mean1 - mean2) ? Pair{mean1 - mean2, 0.0} : two_sum(mean1, -mean2);
  const double size = __builtin_fabs(delta.high), longest = size * (i1.high > i2.high ? i1.high : i2.high);
  const double scale = longest > 1 ? SCALE : 1.0, of_delta = size > 1 ? scale : 1.0, of_i = size > 1 ? 1.0 : scale;
  const Pair d1 = clamped((delta * of_delta) * (i1 * of_i), LONG), d2 = clamped((delta * of_delta) * (i2 * of_i), LONG);

  auto by_variances = [&](double logarithm) {
    return dual ? far_terms(true, g1, g2, logarithm, r1, r2, e1, e2, none, none, FarGs{})
                : far_terms(false, g1, g2, logarithm, r1, r2, e1, e2, none, none, FarG{});
  };
  const Terms terms = by_variances(beyond), means = far_terms(dual, g1, g2, 0.0, r1, r2, e1, e2, d1, d2, Nothing{});
  const Terms ratios = by_variances(0.0);
  const Pair ratio = skew(w1, w2, ratios.kl1, ratios.kl2), all = skew(w1, w2, terms.kl1, terms.kl2);
  const Pair along = skew(w1, w2, means.kl1, means.kl2);
  double value = ratio.high > DOMINANT ? boosted(ratio.high + ratio.low) : all.high + all.low;
  if (__builtin_isinf(cut) && value > DOMINANT) value = __builtin_inf();
  value += ((along.high + along.low) / scale) / scale;

  const double f1 = factor * w1.high, f2 = factor * w2.high;
  auto gradient = [&](double of_e, double b1, double b2, bool exchanged) {
    const double a1 = of_e * e1.high, a2 = of_e * e2.high;
    return exchanged ? far_gradient(dual, f2, f1, g2.high, g1.high, r2.high, r1.high, a2, a1, b2, b1, i2.high, i1.high)
                     : far_gradient(dual, f1, f2, g1.high, g2.high, r1.high, r2.high, a1, a2, b1, b2, i1.high, i2.high);
  };
  auto by_logvar = [&](bool exchanged) {
    return boosted(gradient(1.0, 0.0, 0.0, exchanged).second) +
           (gradient(0.0, d1.high, d2.high, exchanged).second / scale) / scale;
  };
  // This result is linear in the displacements, so they are not scaled.
  const double largest = 0x1.fffffffffffffp1023, a1 = within(delta.high * i1.high, largest), a2 = within(delta.high * i2.high, largest);
  const double by_mean1 = gradient(0.0, a1, a2, false).first;
  const double kl1 = terms.kl1.high + (means.kl1.high / scale) / scale, kl2 = terms.kl2.high + (means.kl2.high / scale) / scale;
  const double by_alpha = far_by_alpha(dual, f1, f2, g1.high, g2.high, reversed ? -1.0 : 1.0, factor * kl1, factor * kl2, r1.high,
                                       r2.high, e1.high, e2.high, d1.high / scale, d2.high / scale);
  return {value, by_mean1, by_logvar(false), by_logvar(true), by_alpha};
}

}  // namespace
