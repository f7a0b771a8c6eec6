// Divergences of diagonal Gaussians in pairs of doubles, rounded once where the bound on their error allows it.
//
// Compiled once for every instruction set, as the function NAME.  Each lane of a vector has another row of the batch, or
// another column of a single row.
#if defined(__AVX512F__) && !defined(__clang__)
#pragma GCC optimize("schedule-insns", "sched-pressure")  // also before registers are chosen, because there are 32
#endif
#include "diagonal.hpp"

#include <type_traits>
#include <utility>

#include "kernels.hpp"
#include "late.hpp"

namespace {

// Within these limits nothing overflows, and no low part underflows: variances lie between 1/LARGEST and LARGEST,
// displacements are 0 or lie between 1/LARGEST and LARGEST, alpha is 0 or at least LEAST_ALPHA, and log-variances are
// equal or differ by at least 1/LARGEST.  Numbers outside become NaN.
const double LARGEST = 0x1p100, LARGEST_STD = 0x1p50, LARGEST_LOGVAR = 69.3;

INLINE Truth moderate(Lanes v) { return between(v, 1 / LARGEST, LARGEST); }

// Checks two variances and a small displacement in few operations; a variance that is NaN makes the result NaN.
INLINE Truth all_moderate(Lanes v1, Lanes v2, Lanes displacement) {
  const Lanes least = v1 < v2 ? v1 : v2, most = larger(larger(v1, v2), absolute(displacement));
  return (least >= 1 / LARGEST) & (most <= LARGEST);
}
INLINE Truth zero_or_sound(Lanes x) { return (x == 0) | between(absolute(x), 1 / LARGEST, LARGEST); }

// A log-variance and a variance that are closer than this share are left undecided.
const double APART = 0.125;

// The scalars of `formula.py`, with the types of the weights and kernels that belong to them.
struct Scalars {
  Pair r1, r2, e1, e2;
  Root d1, d2;
  Truth sound;

  typedef Pair Weight1, Weight2;
  typedef ::G G;
  typedef ::Gs Gs;
};

// e2 = (v2 - v1)/v1 = -e1 v2/v1 and d1^2 = d2^2 v2/v1.
INLINE Scalars scalars(Pair r1, Pair r2, Pair e1, Pair d2, Truth sound) {
  return {r1, r2, e1, -(e1 * r2), {d2 * r2}, {d2}, sound};
}

// The numbers of one column in each lane.
struct Column {
  Lanes mean1, scale1, mean2, scale2;
};

INLINE Scalars both_var(const Column &in) {
  Lanes v1 = in.scale1, v2 = in.scale2;
  Pair delta = two_sum(in.mean1, -in.mean2);
  Truth sound = moderate(v1) & moderate(v2) & zero_or_sound(delta.high);
  return scalars(Pair{v1, Lanes{}} / v2, Pair{v2, Lanes{}} / v1, two_sum(v1, -v2) / v2, (delta * delta) / v2, sound);
}

INLINE Scalars both_std(const Column &in) {
  Lanes s1 = in.scale1, s2 = in.scale2;
  Pair v1 = two_product(s1, s1), v2 = two_product(s2, s2), delta = two_sum(in.mean1, -in.mean2);
  Pair e1 = (two_sum(s1, -s2) * two_sum(s1, s2)) / v2;
  Truth sound = between(s1, 1 / LARGEST_STD, LARGEST_STD) & between(s2, 1 / LARGEST_STD, LARGEST_STD);
  return scalars(v1 / v2, v2 / v1, e1, (delta * delta) / v2, sound & zero_or_sound(delta.high));
}

INLINE Scalars both_logvar(const Column &in) {
  Lanes s1 = in.scale1, s2 = in.scale2;
  Pair u = two_sum(s1, -s2), delta = two_sum(in.mean1, -in.mean2);
  Truth sound = between(s1, -LARGEST_LOGVAR, LARGEST_LOGVAR) & between(s2, -LARGEST_LOGVAR, LARGEST_LOGVAR);
  Exponential ratio = exponential(u);
  Pair inverse = exponential({-s2, Lanes{}}).value;
  sound = sound & zero_or_sound(u.high) & zero_or_sound(delta.high);
  return scalars(ratio.value, 1.0 / ratio.value, ratio.minus_one, (delta * delta) * inverse, sound);
}

// A variance from a scale of any form; it is outside the limits if a log-variance is.
INLINE Pair variance(int32_t form, Lanes scale) {
  if (form == LOGVAR) return exponential({scale, Lanes{}}).value + poison(between(scale, -LARGEST_LOGVAR, LARGEST_LOGVAR));
  return two_product(scale, form == STD ? scale : every(1));
}

INLINE Scalars mixed(const Column &in, int32_t form1, int32_t form2) {
  Pair v1 = variance(form1, in.scale1), v2 = variance(form2, in.scale2), delta = two_sum(in.mean1, -in.mean2);
  double apart = form1 == LOGVAR || form2 == LOGVAR ? APART : 0.0;  // the others are exact, and so is their difference
  Pair e1 = difference(v1, v2) / v2;
  Truth sound = moderate(v1.high) & moderate(v2.high) & zero_or_sound(delta.high) & (absolute(e1.high) >= apart);
  return scalars(v1 / v2, v2 / v1, e1, (delta * delta) / v2, sound);
}

// The scalars, as pairs or, for one logarithm in each row, in the types of late.hpp.
const int MIXED = 3;
template <int form, bool late>
INLINE auto reduced(const Batch &batch, const Column &in) {
  if constexpr (late) {
    const Pair delta = two_sum(in.mean1, -in.mean2);
    if constexpr (form == VAR) {
      return late_scalars(in.scale1, in.scale2, delta * delta, all_moderate(in.scale1, in.scale2, delta.high));
    } else {
      const Pair v1 = variance(form == MIXED ? batch.form1 : form, in.scale1);
      const Pair v2 = variance(form == MIXED ? batch.form2 : form, in.scale2);
      return late_scalars(v1, v2, delta * delta, all_moderate(v1.high, v2.high, delta.high));
    }
  } else if constexpr (form == VAR) {
    return both_var(in);
  } else if constexpr (form == STD) {
    return both_std(in);
  } else if constexpr (form == LOGVAR) {
    return both_logvar(in);
  } else {
    return mixed(in, batch.form1, batch.form2);
  }
}

// The two sums over the columns that make a divergence.
struct Sum {
  Pair one = {}, two = {};

  INLINE_MEMBER void add(Two<Pair, Pair> kl) { one = one + kl.first, two = two + kl.second; }
  INLINE_MEMBER void settle() {}
  Pair total(const Weights &w, bool, int64_t) const { return skew(w.w1, w.w2, one, two); }
};
template <int divergence, class Scalars>
INLINE auto terms(const Scalars &s, const Weights &w) {
  typename Scalars::Weight1 g1{w.g1}, none1{pair(0)}, all1{pair(1)};
  typename Scalars::Weight2 g2{w.g2}, none2{pair(0)}, all2{pair(1)};
  typename Scalars::G g;
  typename Scalars::Gs gs;
  if constexpr (divergence == JSG) {
    return to_mean(g1, g2, Unused{}, s.r1, s.r2, s.e1, s.e2, s.d1, s.d2, g);
  } else if constexpr (divergence == JSG_DUAL) {
    return from_mean(g1, g2, Unused{}, s.r1, s.r2, s.e1, s.e2, s.d1, s.d2, gs);
  } else {  // KL(N1||N2) and KL(N2||N1) are the terms of JSG where the other one is the mean
    auto forward = to_mean(none1, all2, Unused{}, s.r1, s.r2, s.e1, s.e2, s.d1, s.d2, g);
    auto backward = to_mean(all1, none2, Unused{}, s.r1, s.r2, s.e1, s.e2, s.d1, s.d2, g);
    return many(forward.first, backward.second);
  }
}

// The distances of the numbers of an array: to the next lane, and to the next step.
struct Strided {
  const double *from;
  int64_t across, along;

  template <size_t... lane>
  INLINE_MEMBER static Lanes gathered(const double *at, int64_t across, std::index_sequence<lane...>) {
    return Lanes{at[int64_t(lane) * across]...};
  }
  // Some steps whose lanes are all valid.
  INLINE_MEMBER void load(int64_t step, int64_t count, Lanes *to) const {
    const double *at = from + step * along;
    if (across == 1)
      for (int64_t i = 0; i < count; i++) std::memcpy(&to[i], at + i * along, sizeof to[i]);
    else
      for (int64_t i = 0; i < count; i++) to[i] = gathered(at + i * along, across, std::make_index_sequence<LANES>{});
  }
  INLINE_MEMBER Lanes some(int64_t step, int64_t valid, double otherwise) const {
    Lanes x = every(otherwise);
    for (int64_t i = 0; i < valid && i < LANES; i++) set_lane(x, i, from[step * along + i * across]);
    return x;
  }
};

// As many vectors as there are lanes become the columns of the matrix whose rows they are.  Each round exchanges, in the
// blocks of 2 x 2 that have `size` rows and columns, the upper right with the lower left.
template <int size, size_t... lane>
INLINE void transpose(Lanes *rows, std::index_sequence<lane...> lanes) {
  for (int i = 0; i < LANES; i++) {
    if (i & size) continue;
    const Lanes upper = rows[i], lower = rows[i + size];
    rows[i] = taken<(lane & size ? LANES + lane - size : lane)...>(upper, lower);
    rows[i + size] = taken<(lane & size ? LANES + lane : lane + size)...>(upper, lower);
  }
  if constexpr (2 * size < LANES) transpose<2 * size>(rows, lanes);
}

// The number of columns that are loaded together.
const int64_t TOGETHER = 8;
struct Columns {
  Lanes numbers[4][TOGETHER];

  INLINE_MEMBER Column operator[](int64_t i) const { return {numbers[0][i], numbers[1][i], numbers[2][i], numbers[3][i]}; }
};

// The rows of a block, one in each lane, or the columns of one row.
struct Block {
  const Batch &batch;
  Weights weights;
  Strided arrays[4];
  int64_t steps, valid, fewer;  // the number of valid lanes falls by `fewer` in each step

  // Loads the columns of `step` and those after it; returns the step of the first of them, which may be an earlier one.
  INLINE_MEMBER int64_t load(int64_t step, Columns &to) const {
    const int64_t count = steps - step < TOGETHER ? steps - step : TOGETHER;
    // With fewer lanes it takes longer to load whole vectors and transpose them than to gather numbers.
    if (LANES == TOGETHER && valid == LANES && !fewer && steps >= LANES) {
      step += count - LANES;
      for (int which = 0; which < 4; which++) load_whole(arrays[which], step, to.numbers[which]);
      return step;
    }
    gather(step, count, to);
    return step;
  }

 private:
  NOINLINE void gather(int64_t step, int64_t count, Columns &to) const {
    const bool all = valid - (step + count - 1) * fewer >= LANES;
    for (int which = 0; which < 4; which++) {
      if (all) arrays[which].load(step, count, to.numbers[which]);
      else  // lanes that are not valid get equal Gaussians, which add 0
        for (int64_t i = 0; i < count; i++) to.numbers[which][i] = arrays[which].some(step + i, valid - (step + i) * fewer, which % 2);
    }
  }
  // The numbers of an array in as many steps as there are lanes, which are valid.
  INLINE_MEMBER void load_whole(const Strided &array, int64_t step, Lanes *steps) const {
    for (int i = 0; i < LANES; i++) {
      const double *row = array.from + i * array.across + step;
      std::memcpy(&steps[i], row, sizeof steps[i]);
      __builtin_prefetch(row + LANES * array.across);  // for the next block: the processor cannot predict so many rows
    }
    transpose<1>(steps, std::make_index_sequence<LANES>{});
  }
};

template <int divergence, int form, bool late>
Pair evaluated(const Block &block) {
  std::conditional_t<late, LateSum, Sum> sum;
  Truth sound = ~Truth{};
  auto add = [&](const Column &in) INLINE_MEMBER {
    const auto s = reduced<form, late>(block.batch, in);
    sound &= s.sound;
    sum.add(terms<divergence>(s, block.weights));
  };
  Columns columns;
  for (int64_t step = 0; step < block.steps; step += TOGETHER) {
    if (step) sum.settle();
    const int64_t first = block.load(step, columns), end = (block.steps - step < TOGETHER ? block.steps : step + TOGETHER) - first;
    int64_t i = step - first;
    if constexpr (late && FUSED) {  // two steps at a time, so that their operations alternate, because each has few
      for (; i + 1 < end; i += 2) add(columns[i]), add(columns[i + 1]);
      if (i < end) add(columns[i]);
    } else {
      for (; i < end; i++) add(columns[i]);
    }
  }
  return sum.total(block.weights, divergence == JSG_DUAL, block.steps) + poison(sound);
}

typedef Pair Evaluated(const Block &block);
template <int divergence, int form>
Evaluated *const EITHER[2] = {evaluated<divergence, form, false>, evaluated<divergence, form, true>};

Pair value_of(const Block &block, bool late) {
  const Batch &b = block.batch;
#define FORMS(kind) {EITHER<kind, VAR>, EITHER<kind, LOGVAR>, EITHER<kind, STD>, EITHER<kind, MIXED>}
  static Evaluated *const *const choices[3][4] = {FORMS(JSG), FORMS(JSG_DUAL), FORMS(JEFFREYS)};
  return choices[b.divergence][b.form1 == b.form2 ? b.form1 : MIXED][late](block);
}

// Bounds (verification/README.md): on the relative error of an element; on that of a sum of n; and, with one logarithm for a
// row, on the error relative to the value plus n.
const double BOUND = 0x1p-69, BOUND_SUM = 0x1p-102, BOUND_LATE = 0x1p-70;

// The block of the rows from `row` to `row + count`, or of the columns of one row.
Block block_of(const Batch &b, int64_t row, int64_t count, bool columns) {
  auto strided = [=](const double *array, int64_t stride) {
    return columns ? Strided{array + row * stride, 1, LANES} : Strided{array + row * stride, stride, 1};
  };
  Lanes alpha;
  for (int i = 0; i < LANES; i++) set_lane(alpha, i, b.alpha[(row + (i < count ? i : 0)) * b.alpha_stride]);
  Weights w = weights(alpha, b.reversed);
  if (b.divergence == JEFFREYS) w = {pair(1), pair(1), pair(1), pair(1)};
  return {b, w, {strided(b.mean1, b.mean1_stride), strided(b.scale1, b.scale1_stride),
          strided(b.mean2, b.mean2_stride), strided(b.scale2, b.scale2_stride)},
          columns ? (b.n + LANES - 1) / LANES : b.n, columns ? b.n : count, columns ? LANES : 0};
}

INLINE Lanes nearest_single(Pair x, Lanes error) {
  Lanes nearest;
  for (int i = 0; i < LANES; i++) set_lane(nearest, i, nearest_single(lane(x.high, i), lane(x.low, i), lane(error, i)));
  return nearest;
}

}  // namespace

extern "C" int64_t NAME(const Batch &batch, int64_t first, int64_t last) {
  const double n = double(batch.n), of_sum = BOUND_SUM * n * n;
  const bool one_kind = (batch.form1 == LOGVAR) == (batch.form2 == LOGVAR);
  int64_t open = 0, again = 0;
  for (int64_t row = first, count, left; row < last; row += count, open += left) {
    // By columns where that takes fewer steps; equal Gaussians of two forms, a log-variance among them, would not be sound.
    const bool columns = one_kind && (last - row) * ((batch.n + LANES - 1) / LANES) < batch.n;
    count = columns ? 1 : last - row < LANES ? last - row : LANES;
    left = count;
    const Block block = block_of(batch, row, count, columns);
    Lanes values = every(NAN_);
    for (int trial = row < again ? 1 : 0; trial < 2 && left; trial++) {
      Pair found = value_of(block, trial == 0);
      if (columns) found = across(found);
      const Lanes error = trial ? (BOUND + of_sum) * (found.high + found.low) : (BOUND_LATE + of_sum) * (found.high + n);
      values = values == values ? values : batch.single ? nearest_single(found, error) : nearest_in_lanes(found, error);
      left = 0;
      for (int64_t i = 0; i < count; i++) left += lane(values, i) != lane(values, i);
      if (trial == 0 && left == count) again = row + 32 * LANES;  // near Gaussians, which others will follow
    }
    std::memcpy(batch.values + row, &values, count * sizeof(double));
  }
  return open;
}
