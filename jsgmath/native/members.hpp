// The loop over a batch of exponential families, for the divergence of one component as a function of its parameters.
#pragma once

#if defined(__AVX512F__) && !defined(__clang__)
#pragma GCC optimize("schedule-insns", "sched-pressure")  // also before registers are chosen, because there are 32
#endif
#include <utility>

#include "families.hpp"
#include "kernels.hpp"

namespace {

// Between these limits of the parameters, and with alpha 0 or at least LEAST_WEIGHT, nothing overflows and no low part
// underflows.  Parameters outside become NaN.
const double LARGEST = 0x1p100, LEAST_WEIGHT = 0x1p-120;
INLINE Truth moderate(Lanes x) { return between(x, 1 / LARGEST, LARGEST); }

// A bound on the relative error of every divergence here (verification/README.md, "Exponential families in pairs of doubles"),
// and that of a sum over n components.
const double BOUND = 0x1p-74, BOUND_SUM = 0x1p-102;

INLINE Pair exact(Lanes x) { return {x, Lanes{}}; }
INLINE Pair operator+(double a, Pair b) { return b + every(a); }
INLINE Pair operator-(double a, Pair b) { return pair(a) - b; }

#include "terms.hpp"

// The functions that are arguments of the formulas in terms.py.
struct Difference {
  INLINE_MEMBER Pair operator()(Pair a, Pair b) const { return difference(a, b); }
};
struct LongTail {
  INLINE_MEMBER Pair operator()(Pair w) const {
    return polynomial<LONG_TAIL_PAIRS_COUNT - 1>(LONG_TAIL_PAIRS, w, polynomial(LONG_TAIL, w.high));
  }
};
INLINE Exponential grown(Pair x) { return exponential(x, LONG_EXP_PAIRS, LONG_EXP); }
struct Kernel {  // g
  INLINE_MEMBER Pair operator()(Pair x, Pair k) const { return split_g(x, k, k, Unused{}, Split{}, LongTail{}); }
};
struct Logarithm {  // log(1 + f) = 2 artanh(q) = q (2 + w 2P(w)), as in `special.py`
  INLINE_MEMBER Pair operator()(Pair x, Pair k) const {
    auto [f, m, log_rest] = Split{}(x, k);
    (void)m;
    Pair q = f / (f + 2.0), w = q * q;
    return log_rest + q * (w * LongTail{}(w) + every(2));
  }
};
struct Growth {
  INLINE_MEMBER Three<Pair, Pair, Pair> operator()(Pair x) const {
    const Exponential found = grown(x);
    return {found.value, found.minus_one, found.minus_one_and_x};
  }
};

// A divergence, and a bound on its absolute error.
struct Value {
  Pair value;
  Lanes error;
};
INLINE Value bounded(Pair value) { return {value, BOUND * value.high}; }
INLINE Value bounded(const Weights &w, Two<Pair, Pair> kl) { return bounded(skew(w.w1, w.w2, kl.first, kl.second)); }

template <size_t... lane>
INLINE Lanes gathered(const double *at, int64_t across, std::index_sequence<lane...>) {
  return Lanes{at[int64_t(lane) * across]...};
}
// Loads a number for each lane, from places that are `across` apart; lanes that are not valid repeat the first.
INLINE Lanes lanes_from(const double *from, int64_t across, int64_t valid) {
  if (across == 0) return every(*from);
  if (valid < LANES) {
    Lanes x = every(*from);
    for (int lane = 1; lane < valid; lane++) set_lane(x, lane, from[lane * across]);
    return x;
  }
  if (across == 1) {
    Lanes x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  return gathered(from, across, std::make_index_sequence<LANES>{});
}

// The parameters of one component in each lane: a lane has another row of the batch, or another component of one row.
struct Members {
  const double *at[4];
  int64_t across[4], k, valid;
  int32_t form1, form2;
  Pair *memory;  // for 3 k numbers

  // The number at place i of parameter `which`: 0 and 1 are those of N1, 2 and 3 those of N2.
  INLINE_MEMBER Lanes operator()(int which, int64_t i = 0) const { return lanes_from(at[which] + i, across[which], valid); }
  INLINE_MEMBER Members exchanged() const {
    return {{at[2], at[3], at[0], at[1]}, {across[2], across[3], across[0], across[1]}, k, valid, form2, form1, memory};
  }
};

// Rounds the values of some rows, and adds the undecided ones to the counts of the lanes.
INLINE void store(const FamilyBatch &b, int64_t row, int64_t count, Pair value, Lanes error, Truth &open) {
  double *to = b.values + row;
  if (b.single || count < LANES) {
    for (int64_t i = 0; i < count; i++) {
      const double high = lane(value.high, i), low = lane(value.low, i), margin = lane(error, i);
      to[i] = b.single ? nearest_single(high, low, margin) : nearest(high, low, margin);
      open[i] += to[i] != to[i];
    }
    return;
  }
  const Lanes nearest = nearest_in_lanes(value, error);
  std::memcpy(to, &nearest, sizeof nearest);
  open -= nearest != nearest;  // true is -1
}

// The divergence of one component in each lane, `Kind::value<divergence>(members, weights)`, as a separate function.
template <class Kind, int divergence>
NOINLINE Value value_of(const Members &in, const Weights &w) {
  if constexpr (divergence == BOTH_DIRECT) {
    const Value one = value_of<Kind, DIRECT>(in, w), two = value_of<Kind, DIRECT>(in.exchanged(), w);
    return {one.value + two.value, one.error + two.error};
  } else {
    return Kind::template value<divergence>(in, w);
  }
}

// A divergence is a part of the loop or, if it is CALLED, a separate function, which takes less time to compile.
const int CALLED = -1;
template <class Kind, int divergence>
int64_t evaluated(const FamilyBatch &b, int64_t first, int64_t last) {
  static Value (*const functions[])(const Members &, const Weights &) = {value_of<Kind, TO_MEAN>, value_of<Kind, FROM_MEAN>,
                                                                         value_of<Kind, DIRECT>, value_of<Kind, BOTH_DIRECT>};
  const bool columns = b.n >= LANES;
  const Memory<Pair> memory(3 * b.k);
  Weights w = weights(every(*b.alpha), b.reversed, LEAST_WEIGHT);
  Truth open = {};
  for (int64_t row = first, count; row < last; row += count) {
    count = columns ? 1 : last - row < LANES ? last - row : LANES;
    if (b.alpha_stride) w = weights(lanes_from(b.alpha + row, columns ? 0 : 1, count), b.reversed, LEAST_WEIGHT);
    Value sum = {};
    for (int64_t j = 0, step = columns ? LANES : 1; j < b.n; j += step) {
      Members in = {{}, {}, b.k, columns ? (b.n - j < LANES ? b.n - j : LANES) : count, b.form1, b.form2, memory.start};
      for (int which = 0; which < 4; which++) {
        in.at[which] = b.parameters[which] + row * b.strides[which] + j * b.k;
        in.across[which] = columns ? b.k : b.strides[which];
      }
      Value found;
      if constexpr (divergence == CALLED) found = functions[b.divergence](in, w);
      else found = Kind::template value<divergence>(in, w);
      const double *copies = b.copies + row * b.copies_stride + j;
      Lanes times = lanes_from(copies, columns ? 1 : b.copies_stride, in.valid);
      if (columns)
        for (int64_t lane = in.valid; lane < LANES; lane++) set_lane(times, lane, 0);
      sum.value = sum.value + found.value * times;
      sum.error += found.error * times;
    }
    const double of_sum = BOUND_SUM * double(b.n) * double(b.n);
    if (columns) sum = {across(sum.value), across(sum.error)};
    store(b, row, count, sum.value, sum.error * (1 + 0x1p-20) + of_sum * sum.value.high, open);
  }
  int64_t left = 0;
  for (int i = 0; i < LANES; i++) left += open[i];
  return left;
}

// KL is so short that a call would take a tenth of its time; the others may be as short.
template <class Kind, bool brief = false>
int64_t of_kind(const FamilyBatch &b, int64_t first, int64_t last) {
  static EvaluateFamily *const choices[] = {evaluated<Kind, brief ? TO_MEAN : CALLED>, evaluated<Kind, brief ? FROM_MEAN : CALLED>,
                                            evaluated<Kind, DIRECT>, evaluated<Kind, CALLED>};
  return choices[b.divergence](b, first, last);
}

}  // namespace
