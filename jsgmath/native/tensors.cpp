// Values and gradients for tensors of diagonal Gaussians, in one pass.
//
// Compiled once for every instruction set, as the function NAME.  Floats are computed in doubles and doubles in pairs, so that
// each result is rounded once.  The loops below go over the elements of a block, so that the compiler makes vectors of them.
#include "tensors.hpp"

#include "far.hpp"
#include "floats.hpp"
#include "noise.hpp"

namespace {

// Loops over elements end at a multiple of GROUP, which is a whole number of vectors, so that no remainder has to be compiled
// separately; results beyond the elements are not used.
const int64_t BLOCK = 128, GROUP = 8;
INLINE int64_t filled(int64_t count) { return (count + GROUP - 1) & -GROUP; }

// An array of numbers in the type of the computation.
template <class Number>
struct Column;
template <>
struct Column<double> {
  double x[BLOCK];
  INLINE_MEMBER double operator[](int64_t i) const { return x[i]; }
  INLINE_MEMBER void set(int64_t i, double value) { x[i] = value; }
};
template <>
struct Column<Pair> {
  double high[BLOCK], low[BLOCK];
  INLINE_MEMBER Pair operator[](int64_t i) const { return {high[i], low[i]}; }
  INLINE_MEMBER void set(int64_t i, Pair value) {
    high[i] = value.high;
    low[i] = value.low;
  }
};

// The part of the log-ratio beyond the limit, for doubles; `far.hpp` computes such elements for pairs.
template <class Number>
struct Beyond;
template <>
struct Beyond<double> : Column<double> {};
template <>
struct Beyond<Pair> {
  INLINE_MEMBER Unused operator[](int64_t) const { return {}; }
};

// The scalars of `formula.py`, of each element of a block.
template <class Number>
struct Scalars {
  Column<Number> r1, r2, e1, e2, d1, d2, i1, i2;
  Column<Number> root;  // the standard deviation of N1, if N2 is N(0, 1)
  Beyond<Number> beyond;
  Column<double> sound;  // 0, or NaN where pairs overflow
};

struct Inputs {
  double mean1[BLOCK], logvar1[BLOCK], mean2[BLOCK], logvar2[BLOCK], alpha[BLOCK], factor[BLOCK];
};

template <class Number>
struct Results {
  Column<Number> value, by_mean1, by_logvar1, by_logvar2, by_alpha;
};

// Limits for doubles: every product with a number beyond them overflows a float or is 0 as a float.
const double WIDEST = 700, FURTHEST = 0x1p664, LONGEST = 0x1p400, LARGEST_BEYOND = 0x1p200, STEEPEST = 300;

template <bool two>
void reduce(const Inputs &in, Scalars<double> &__restrict to, int64_t count) {
  for (int64_t i = 0; i < filled(count); i++) {
    double l1 = in.logvar1[i], l2 = two ? in.logvar2[i] : 0.0;
    double difference = l1 - l2, held = within(difference, WIDEST);
    ShortExponential half = short_exponential(0.5 * held);
    double root = half.value, t = half.minus_one, inverse = 1.0 / root;
    double i1 = inverse, i2 = 1.0;
    if constexpr (two) {
      i1 = short_exponential(-0.5 * within(l1, STEEPEST)).value;
      i2 = short_exponential(-0.5 * within(l2, STEEPEST)).value;
    }
    double delta = within(two ? in.mean1[i] - in.mean2[i] : in.mean1[i], FURTHEST);
    double r2 = inverse * inverse, e1 = t * (t + 2.0);
    to.r1.set(i, root * root);
    to.r2.set(i, r2);
    to.e1.set(i, e1);
    to.e2.set(i, -(e1 * r2));
    to.d1.set(i, within(delta * i1, LONGEST));
    to.d2.set(i, within(delta * i2, LONGEST));
    to.i1.set(i, i1);
    to.i2.set(i, i2);
    to.root.set(i, root);
    to.beyond.set(i, within(difference - held, LARGEST_BEYOND));
  }
}

// Limits for pairs, within which no intermediate result overflows.
const double WIDE = 650, LONG = 0x1p490, STEEPEST_PAIR = 1416;

template <bool two>
void reduce(const Inputs &in, Scalars<Pair> &__restrict to, int64_t count) {
  for (int64_t i = 0; i < filled(count); i++) {
    double l1 = in.logvar1[i], l2 = two ? in.logvar2[i] : 0.0;
    Pair difference = two ? two_sum(l1, -l2) : Pair{l1, 0.0};
    difference.high = within(difference.high, STEEPEST_PAIR);
    Pair delta = two ? two_sum(in.mean1[i], -in.mean2[i]) : Pair{in.mean1[i], 0.0};
    Exponential half = exponential({0.5 * difference.high, 0.5 * difference.low});
    Pair root = half.value, t = half.minus_one, inverse = 1.0 / root;
    Pair i1 = inverse, i2 = {1.0, 0.0};
    if constexpr (two) {
      i1 = exponential({-0.5 * l1, 0.0}).value;
      i2 = i1 * root;
    }
    Pair r2 = inverse * inverse, e1 = t * (t + 2.0), d1 = delta * i1, d2 = delta * i2;
    bool sound = between(l1, -WIDE, WIDE) & between(l2, -WIDE, WIDE) & between(difference.high, -WIDE, WIDE);
    sound = sound & between(delta.high, -LONG, LONG) & between(d1.high, -LONG, LONG) & between(d2.high, -LONG, LONG);
    to.r1.set(i, root * root);
    to.r2.set(i, r2);
    to.e1.set(i, e1);
    to.e2.set(i, -(e1 * r2));
    to.d1.set(i, d1);
    to.d2.set(i, d2);
    to.i1.set(i, i1);
    to.i2.set(i, i2);
    to.root.set(i, root);
    to.sound.set(i, poison(sound));
  }
}

// The weights of each element, 1 - alpha and alpha; g1 and g2 are these columns in one of the two orders.
template <class Number>
struct Weighted {
  Column<Number> w1, w2;
};
NOINLINE void weigh(const double *alpha, Weighted<double> &__restrict to, int64_t count) {
  for (int64_t i = 0; i < filled(count); i++) {
    to.w1.set(i, 1.0 - alpha[i]);
    to.w2.set(i, alpha[i]);
  }
}
NOINLINE void weigh(const double *alpha, Weighted<Pair> &__restrict to, int64_t count) {
  for (int64_t i = 0; i < filled(count); i++) {
    to.w1.set(i, two_sum(1.0, -alpha[i]));
    to.w2.set(i, {alpha[i], 0.0});
  }
}

template <bool dual, class... Numbers>
INLINE auto divergences(Numbers... numbers) {
  if constexpr (dual) return from_mean(numbers..., KernelGs{});
  else return to_mean(numbers..., KernelG{});
}
template <bool dual, class... Numbers>
INLINE auto gradients(Numbers... numbers) {
  if constexpr (dual) return from_mean_grad(numbers...);
  else return to_mean_grad(numbers...);
}

template <class Number, bool dual, bool two, bool value, bool grad>
void elements(const Scalars<Number> &s, const Weighted<Number> &weights, const Column<Number> &of_1,
              const Column<Number> &of_2, const double *factor, Results<Number> &__restrict to, int64_t count) {
  for (int64_t i = 0; i < filled(count); i++) {
    Number w1 = weights.w1[i], w2 = weights.w2[i], g1 = of_1[i], g2 = of_2[i];
    Number r1 = s.r1[i], r2 = s.r2[i], e1 = s.e1[i], e2 = s.e2[i], d1 = s.d1[i], d2 = s.d2[i];
    if constexpr (value) {
      auto [kl1, kl2] = divergences<dual>(g1, g2, s.beyond[i], r1, r2, e1, e2, d1, d2);
      to.value.set(i, skew(w1, w2, kl1, kl2));
    }
    if constexpr (grad) {
      Number i1 = s.i1[i], i2 = s.i2[i], f1 = w1 * factor[i], f2 = w2 * factor[i];
      auto [by_mean1, by_logvar1] = gradients<dual>(f1, f2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2);
      to.by_mean1.set(i, by_mean1);
      to.by_logvar1.set(i, by_logvar1);
      if constexpr (two) {
        auto [unused, by_logvar2] = gradients<dual>(f2, f1, g2, g1, r2, r1, e2, e1, d2, d1, i2, i1);
        (void)unused;
        to.by_logvar2.set(i, by_logvar2);
      }
    }
  }
}

template <class Number, bool dual>
void by_alpha(const Scalars<Number> &s, const Weighted<Number> &weights, const Column<Number> &of_1,
              const Column<Number> &of_2, const double *factor, double slope, Results<Number> &__restrict to, int64_t count) {
  for (int64_t i = 0; i < filled(count); i++) {
    Number w1 = weights.w1[i], w2 = weights.w2[i], g1 = of_1[i], g2 = of_2[i];
    Number r1 = s.r1[i], r2 = s.r2[i], e1 = s.e1[i], e2 = s.e2[i], d1 = s.d1[i], d2 = s.d2[i];
    auto [kl1, kl2] = divergences<dual>(g1, g2, s.beyond[i], r1, r2, e1, e2, d1, d2);
    Number f1 = w1 * factor[i], f2 = w2 * factor[i], k1 = kl1 * factor[i], k2 = kl2 * factor[i];
    if constexpr (dual) to.by_alpha.set(i, from_mean_by_alpha(f1, f2, g1, g2, slope, k1, k2, r1, r2, e1, e2, d1, d2));
    else to.by_alpha.set(i, to_mean_by_alpha(f1, f2, g1, g2, slope, k1, k2, r1, r2, e1, e2, d1, d2));
  }
}

// If pairs overflow, plain doubles replace them.
template <bool two>
void replace_far(const Scalars<Pair> &s, const Inputs &in, const Tensors &asked, Results<Pair> &to, int64_t count) {
  double any = 0.0;
  for (int64_t i = 0; i < count; i++) any += s.sound[i];
  if (any == 0) return;
  for (int64_t i = 0; i < count; i++) {
    if (s.sound[i] == 0) continue;
    Far found = far(in.mean1[i], in.logvar1[i], two ? in.mean2[i] : 0.0, two ? in.logvar2[i] : 0.0, in.alpha[i],
                    in.factor[i], asked.dual, asked.reversed);
    to.value.set(i, {found.value, 0.0});
    to.by_mean1.set(i, {found.by_mean1, 0.0});
    to.by_logvar1.set(i, {found.by_logvar1, 0.0});
    to.by_logvar2.set(i, {found.by_logvar2, 0.0});
    to.by_alpha.set(i, {found.by_alpha, 0.0});
  }
}
template <bool two>
void replace_far(const Scalars<double> &, const Inputs &, const Tensors &, Results<double> &, int64_t) {}

template <class Number, bool dual, bool two>
void compute(const Inputs &in, const Weighted<Number> &w, const Tensors &asked, Scalars<Number> &s, Results<Number> &to,
             int64_t count) {
  const bool value = asked.values, grad = asked.by_mean1;
  const Column<Number> &g1 = asked.reversed ? w.w2 : w.w1, &g2 = asked.reversed ? w.w1 : w.w2;
  reduce<two>(in, s, count);
  if (value && grad) elements<Number, dual, two, true, true>(s, w, g1, g2, in.factor, to, count);
  else if (value) elements<Number, dual, false, true, false>(s, w, g1, g2, in.factor, to, count);
  else if (grad) elements<Number, dual, two, false, true>(s, w, g1, g2, in.factor, to, count);
  if (asked.by_alpha) by_alpha<Number, dual>(s, w, g1, g2, in.factor, asked.reversed ? -1.0 : 1.0, to, count);
  replace_far<two>(s, in, asked, to, count);
}

// The sum of some elements: eight partial sums, then their sum.
template <class Number>
NOINLINE Number total(const Column<Number> &x, int64_t first, int64_t count) {
  Number sums[8] = {}, sum = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int64_t j = 0; j < 8; j++) sums[j] = sums[j] + x[first + i + j];
  if (i) sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  for (; i < count; i++) sum = sum + x[first + i];
  return sum;
}

// The low part of an infinite number is NaN.
INLINE double rounded(double x) { return x; }
INLINE double rounded(Pair x) {
  double sum = x.high + x.low;
  return sum == sum ? sum : x.high;
}

template <class Storage>
NOINLINE void load(const void *from, int64_t stride, int64_t row, int64_t rows, int64_t column, int64_t n, double *to) {
  const Storage *source = static_cast<const Storage *>(from) + row * stride + column;
  if (stride == n) n *= rows, rows = 1;
  for (int64_t j = 0; j < rows; j++, source += stride, to += n)
    for (int64_t i = 0; i < n; i++) to[i] = source[i];
}

template <class Storage, class Number>
NOINLINE void store(const Column<Number> &from, void *to, int64_t start, int64_t count) {
  Storage *target = static_cast<Storage *>(to) + start;
  for (int64_t i = 0; i < count; i++) target[i] = Storage(rounded(from[i]));
}

// The sample of N1, or the gradient by it.
template <class Storage, class Number>
NOINLINE void take_sample(const Tensors &t, const double *noise, const double *mean, const Scalars<Number> &s, int64_t start, int64_t count) {
  Storage *sample = static_cast<Storage *>(t.sample) + start;
  for (int64_t i = 0; i < count; i++) sample[i] = Storage(rounded(s.root[i] * noise[i] + mean[i]));
}
template <class Number>
NOINLINE void add_by_sample(const double *noise, const double *by_sample, const Scalars<Number> &s, Results<Number> &to, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    to.by_mean1.set(i, to.by_mean1[i] + by_sample[i]);
    to.by_logvar1.set(i, to.by_logvar1[i] + s.root[i] * (0.5 * noise[i]) * by_sample[i]);
  }
}

// Expands a number for each row to one for each element.
NOINLINE void spread(double x, double *to, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = x;
}

// Whether a number is outside of limits within which no ratio of variances, and no square of a displacement in their units,
// leaves the range of a float or double; `jsgmath/torch/eager/diagonal.py` has the same limits.
template <class Number>
NOINLINE bool any_beyond(const double *mean, const double *logvar, int64_t count) {
  const bool doubles = sizeof(Number) > sizeof(double);
  const double furthest = doubles ? 0x1p230 : 0x1p28, widest = doubles ? 354 : 43.5;
  int64_t any = 0;
  for (int64_t i = 0; i < count; i++) any |= !(between(mean[i], -furthest, furthest) & between(logvar[i], -widest, widest));
  return any;
}

// A block has whole rows, or a part of one row that begins at a multiple of BLOCK.  Returns the number of blocks with numbers
// beyond the limits.
template <class Storage, class Number, bool dual, bool two>
int64_t evaluate(const Tensors &t, int64_t first, int64_t last) {
  int64_t beyond = 0;
  Inputs in = {};
  Weighted<Number> weights;
  Scalars<Number> scalars;
  Results<Number> results;
  Noise<BLOCK> noise;
  const int64_t rows_in_block = t.n < BLOCK ? BLOCK / t.n : 1, width = t.n < BLOCK ? t.n : BLOCK;
  spread(t.alpha, in.alpha, BLOCK);
  spread(t.factor, in.factor, BLOCK);
  weigh(in.alpha, weights, BLOCK);
  for (int64_t row = first; row < last; row += rows_in_block) {
    const int64_t rows = last - row < rows_in_block ? last - row : rows_in_block;
    Number value[BLOCK] = {}, along_alpha[BLOCK] = {};
    for (int64_t j = 0; j < rows; j++) {
      if (t.alphas) spread(t.alphas[(row + j) * t.alpha_stride], in.alpha + j * width, width);
      if (t.factors)
        spread(static_cast<const Storage *>(t.factors)[(row + j) * t.factor_stride], in.factor + j * width, width);
    }
    if (t.alphas) weigh(in.alpha, weights, rows * width);
    for (int64_t column = 0; column < t.n; column += width) {
      const int64_t part = t.n - column < width ? t.n - column : width, count = rows * part;
      load<Storage>(t.mean1, t.mean1_stride, row, rows, column, part, in.mean1);
      load<Storage>(t.scale1, t.scale1_stride, row, rows, column, part, in.logvar1);
      if constexpr (two) {
        load<Storage>(t.mean2, t.mean2_stride, row, rows, column, part, in.mean2);
        load<Storage>(t.scale2, t.scale2_stride, row, rows, column, part, in.logvar2);
        beyond += any_beyond<Number>(in.mean2, in.logvar2, count);
      }
      beyond += any_beyond<Number>(in.mean1, in.logvar1, count);
      compute<Number, dual, two>(in, weights, t, scalars, results, count);
      const int64_t start = row * t.n + column;
      if constexpr (!two) {
        if (t.sample) take_sample<Storage>(t, noise.draw(t.seed, t.place + start, count), in.mean1, scalars, start, count);
        if (t.by_sample) {
          load<Storage>(t.by_sample, t.by_sample_stride, row, rows, column, part, in.mean2);
          add_by_sample(noise.draw(t.seed, t.place + start, count), in.mean2, scalars, results, count);
        }
      }
      if (t.by_mean1) {
        store<Storage>(results.by_mean1, t.by_mean1, start, count);
        store<Storage>(results.by_logvar1, t.by_scale1, start, count);
        if constexpr (two) store<Storage>(results.by_logvar2, t.by_scale2, start, count);
      }
      for (int64_t j = 0; j < rows; j++) {
        if (t.values) value[j] = value[j] + total(results.value, j * part, part);
        if (t.by_alpha) along_alpha[j] = along_alpha[j] + total(results.by_alpha, j * part, part);
      }
    }
    for (int64_t j = 0; j < rows; j++) {
      if (t.values) static_cast<Storage *>(t.values)[row + j] = Storage(rounded(value[j]));
      if (t.by_alpha) static_cast<Storage *>(t.by_alpha)[row + j] = Storage(rounded(along_alpha[j]));
    }
  }
  return beyond;
}

template <class Storage, class Number>
int64_t evaluate(const Tensors &t, int64_t first, int64_t last) {
  auto of_two = t.dual ? evaluate<Storage, Number, true, true> : evaluate<Storage, Number, false, true>;
  auto of_one = t.dual ? evaluate<Storage, Number, true, false> : evaluate<Storage, Number, false, false>;
  return (t.mean2 ? of_two : of_one)(t, first, last);
}

}  // namespace

extern "C" int64_t NAME(const Tensors &tensors, int64_t first, int64_t last) {
  return (tensors.doubles ? evaluate<double, Pair> : evaluate<float, double>)(tensors, first, last);
}
