// Divergences of several diagonal Gaussians from their product, in pairs of doubles, rounded once where the bound on their error
// allows it.  The formulas are those of several_terms.py.  Compiled once for every instruction set, as the function NAME.
#include "many.hpp"

#include "members.hpp"
#include "number.hpp"

namespace {

// Bounds on relative errors (verification/README.md, "Several Gaussians in the compiled core"): of the scalars and of ten
// operations; of g and gs; and of a sum, for each of its terms.
const double SCALARS = 0x1p-83, KERNELS = 0x1p-80, OF_SUM = 0x1p-98;
const double LARGEST_LOGVAR = 69.3;  // the largest log-variance; its exponential is within the limits

// Operations with the whole numbers in the text.
template <int value>
INLINE Lanes operator+(Whole<value>, Lanes a) { return double(value) + a; }
template <int value>
INLINE Lanes operator+(Lanes a, Whole<value>) { return a + double(value); }
template <int value>
INLINE Lanes operator*(Whole<value>, Lanes a) { return double(value) * a; }
INLINE Number operator-(Number a, Whole<1>) { return settled(Pair(a) + every(-1)); }

INLINE Number chosen(Truth condition, Number a, Number b) { return {condition ? a.high : b.high, condition ? a.low : b.low}; }
struct Select {
  INLINE_MEMBER Lanes operator()(Truth condition, Lanes a, Lanes b) const { return condition ? a : b; }
  INLINE_MEMBER Number operator()(Truth condition, Number a, Number b) const { return chosen(condition, a, b); }
};
struct Size {
  INLINE_MEMBER Lanes operator()(Number a) const { return absolute(a.high); }
};

// g, or gs, of x and k = 1 + x; where x > -1/2 keeps more digits, k is computed from it.
template <bool dual>
struct KernelOfMany {
  INLINE_MEMBER Number operator()(Number x, Number ratio, Number, Unused beyond) const {
    const Number k = chosen(x.high > every(-0.5), settled(Pair(x) + every(1)), ratio);
    Pair found;
    if constexpr (dual) found = split_gs(Pair(x), Pair(k), Pair(k), beyond, Split{}, LongTail{});
    else found = split_g(Pair(x), Pair(k), Pair(k), beyond, Split{}, LongTail{});
    return settled(found);
  }
};

#include "several_terms.hpp"

INLINE Truth zero_or_moderate(Lanes x) { return (x == 0) | moderate(absolute(x)); }

// The size to which the error of an excess r - 1 is relative; in mixed forms the exponential is rounded before the difference.
INLINE Lanes size_of(Lanes ratio, Lanes excess, bool mixed) { return mixed ? ratio + 1.0 : absolute(excess); }

// The numbers of all Gaussians in one column of a few rows, or in a few columns of one row; then relative to the reference.
struct Next {
  Lanes mean, scale;
  Number w, g, variance;  // no variance where all are log-variances
  Number r, inverse_r, e, delta, precision;
  Lanes size_e;
};

// A sum of terms that are not negative, and of bounds on their errors.
struct Total {
  Number value = pair(0);
  Lanes error = {};
};

const int MIXED = 3;
template <int form, bool dual>
struct Column {
  const ManyBatch &batch;
  Next *members;
  Truth sound;

  // NaN for a log-variance beyond the limit.
  INLINE_MEMBER static Number variance(int64_t own_form, Lanes scale) {
    if (form == VAR || own_form == VAR) return exact(scale);
    if (own_form == STD) return two_product(scale, scale);
    return settled(grown(exact(scale)).value + poison(between(scale, -LARGEST_LOGVAR, LARGEST_LOGVAR)));
  }

  // Reads the numbers, and returns those of the reference: a Gaussian whose share in the precision is the largest, or nearly.
  INLINE_MEMBER Next read(int64_t row, int64_t column, bool columns, int64_t valid) {
    Next last;
    Lanes most;
    for (int64_t j = 0; j < batch.k; j++) {
      const OneOfMany &from = batch.members[j];
      Next &to = members[j];
      to.mean = lanes_from(from.mean + row * from.mean_stride + column, columns ? 1 : from.mean_stride, valid);
      to.scale = lanes_from(from.scale + row * from.scale_stride + column, columns ? 1 : from.scale_stride, valid);
      Lanes share;
      if constexpr (form == LOGVAR) {
        share = number_of(exponent_of(to.g)) * LOG2_HIGH - to.scale;
      } else {
        to.variance = variance(from.form, to.scale);
        share = to.g.high / to.variance.high;
      }
      share = to.g.high == 0 ? every(-__builtin_inf()) : share;
      const Truth larger = j ? share > most : ~Truth{};
      if (j) {
        most = larger ? share : most;
        last.mean = larger ? to.mean : last.mean, last.scale = larger ? to.scale : last.scale;
        if constexpr (form != LOGVAR) last.variance = chosen(larger, to.variance, last.variance);
      } else {
        last = to, most = share;
      }
    }
    return last;
  }

  INLINE_MEMBER void compare(Next &own, const Next &last, bool mixed_logvars) {
    const Truth counted = larger(own.w.high, own.g.high) > 0;
    own.mean = counted ? own.mean : last.mean;
    own.delta = two_sum(own.mean, -last.mean);
    sound &= zero_or_moderate(own.delta.high);
    if constexpr (form == LOGVAR) {
      const Lanes scale = counted ? own.scale : last.scale;
      const Pair u = two_sum(scale, -last.scale);
      sound &= between(scale, -LARGEST_LOGVAR, LARGEST_LOGVAR) & zero_or_moderate(u.high);
      const Exponential found = grown(u);
      own.r = settled(found.value), own.e = settled(found.minus_one), own.inverse_r = number(1) / own.r;
      if constexpr (dual) own.precision = own.inverse_r * last.precision;
    } else {
      const Number v = chosen(counted, own.variance, last.variance), inverse = number(1) / v;
      sound &= moderate(v.high);
      own.r = v * last.precision, own.inverse_r = last.variance * inverse;
      own.e = apart(v, last.variance) * last.precision;
      if constexpr (dual) own.precision = inverse;
    }
    own.size_e = size_of(own.r.high, own.e.high, mixed_logvars);
  }

  // Twice the divergence, in each lane.
  INLINE_MEMBER Total divergence(int64_t row, int64_t column, bool columns, int64_t valid, bool mixed_logvars) {
    Next last = read(row, column, columns, valid);
    if constexpr (form == LOGVAR) last.precision = settled(grown(exact(-last.scale)).value);
    else last.precision = number(1) / last.variance;
    Number k = pair(0), force = k, excess = k;
    Lanes size_force = {}, size_excess = {};
    for (int64_t j = 0; j < batch.k; j++) {
      Next &own = members[j];
      compare(own, last, mixed_logvars);
      const Number y = -(own.e * own.inverse_r);
      const Lanes size_y = size_of(own.inverse_r.high, y.high, mixed_logvars);
      auto [of_k, of_force, of_excess, of_size_force, of_size_excess] = summands(own.g, own.inverse_r, y, size_y, own.delta, Size{});
      k = k + of_k, force = force + of_force, excess = excess + of_excess;
      size_force += of_size_force, size_excess += of_size_excess;
    }
    const double relative = double(2 * batch.k + 16) * SCALARS, rounding = double(2 * batch.k + 64) * SCALARS + 2 * KERNELS;
    const Number mean = force / k, precision_of_mean = k * last.precision;
    const Lanes size_mean = size_force / k.high;
    Total sum;
    for (int64_t j = 0; j < batch.k; j++) {
      const Next &own = members[j];
      const Number precision = dual ? own.precision : precision_of_mean;
      auto [value, error] = twice_divergence(own.r, own.e, own.size_e, own.delta, Unused{}, precision, k, mean, excess, size_mean,
                                             size_excess, dual, KernelOfMany<dual>{}, Size{}, Select{}, relative, rounding);
      sum.value = sum.value + own.w * value;
      sum.error += own.w.high * error;
    }
    return sum;
  }
};

// The weights of some rows in the lanes, or those of one row in all lanes; returns in which lanes they are within the limits.
INLINE Truth read_weights(const ManyBatch &b, Next *members, int64_t row, bool columns, int64_t valid) {
  Truth sound = ~Truth{};
  const int64_t at = b.weight_rows > 1 ? row : 0, across = columns || b.weight_rows == 1 ? 0 : 1;
  for (int64_t j = 0; j < b.k; j++) {
    Lanes found[4];
    for (int part = 0; part < 4; part++) found[part] = lanes_from(b.weight(part, j) + at, across, valid);
    members[j].w = {found[0], found[1]}, members[j].g = {found[2], found[3]};
    for (int part = 0; part < 4; part += 2) sound &= (found[part] == 0) | (found[part] >= LEAST_WEIGHT);
  }
  return sound;
}

template <int form, bool dual>
int64_t evaluated(const ManyBatch &b, int64_t first, int64_t last) {
  const Memory<Next> members(b.k);
  bool mixed_logvars = false;
  for (int64_t j = 0; j < b.k; j++) mixed_logvars |= form == MIXED && b.members[j].form == LOGVAR;
  int64_t open = 0;
  Truth sound = {};
  for (int64_t row = first, count; row < last; row += count) {
    count = last - row < LANES ? last - row : LANES;
    const bool columns = count * ((b.n + LANES - 1) / LANES) < b.n;  // by columns if that takes fewer steps
    if (columns) count = 1;
    if (row == first || b.weight_rows > 1) sound = read_weights(b, members.start, row, columns, count);
    Column<form, dual> column{b, members.start, sound};
    Total sum;
    for (int64_t i = 0, step = columns ? LANES : 1; i < b.n; i += step) {
      const int64_t valid = columns ? (b.n - i < LANES ? b.n - i : LANES) : count;
      Total found = column.divergence(row, i, columns, valid, mixed_logvars);
      if (columns)
        for (int64_t lane = valid; lane < LANES; lane++)
          set_lane(found.value.high, lane, 0), set_lane(found.value.low, lane, 0), set_lane(found.error, lane, 0);
      sum.value = sum.value + found.value, sum.error += found.error;
    }
    sum.value.high += poison(column.sound);
    if (columns) sum = {across(sum.value), across(sum.error)};
    const Lanes error = 0.5 * ((1 + 0x1p-20) * sum.error + (OF_SUM * double(b.n + b.k + LANES + 4)) * sum.value.high);
    const Number value = {0.5 * sum.value.high, 0.5 * sum.value.low};
    for (int64_t i = 0; i < count; i++) {
      const double high = lane(value.high, i), low = lane(value.low, i), margin = lane(error, i);
      double &to = b.values[row + i];
      to = b.single ? nearest_single(high, low, margin) : nearest(high, low, margin);
      open += to != to;
    }
  }
  return open;
}

}  // namespace

extern "C" int64_t NAME(const ManyBatch &batch, int64_t first, int64_t last) {
  int64_t form = batch.members[0].form;
  for (int64_t j = 1; j < batch.k; j++) form = batch.members[j].form == form ? form : MIXED;
  if (form == STD) form = MIXED;
  if (batch.dual) return (form == VAR ? evaluated<VAR, true> : form == LOGVAR ? evaluated<LOGVAR, true> : evaluated<MIXED, true>)(batch, first, last);
  return (form == VAR ? evaluated<VAR, false> : form == LOGVAR ? evaluated<LOGVAR, false> : evaluated<MIXED, false>)(batch, first, last);
}
