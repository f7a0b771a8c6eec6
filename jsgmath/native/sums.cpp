// Sums over the coordinates of Gaussians of low rank, in pairs of doubles, for nearest_low_rank.py, which bounds their errors
// (verification/README.md, "Low rank in whole numbers").  Compiled once for every instruction set, as the function NAME.
#include "sums.hpp"

#include "elementary.hpp"
#include "wide.hpp"

namespace {

// Within these limits nothing overflows, and no low part underflows: of diagonals, and of columns, which may be 0 too.
const double LARGEST = 0x1p100, LARGEST_ENTRY = 0x1p200;
const int64_t BLOCK = 128, STEPS = BLOCK / LANES;  // coordinates at a time, so that they stay in the cache
const int TOGETHER = 4;  // sums that do not wait for each other

INLINE Wide plus_product(Wide c, Lanes a, Wide b) {
  const Pair product = two_product(a, b.high), sum = two_sum(c.high, product.high);
  return fast_two_sum(sum.high, sum.low + (c.low + multiply_add(a, b.low, product.low)));
}

INLINE Wide exact(Lanes x) { return {x, Lanes{}}; }
INLINE Wide share(const double *x) { return {every(x[0]), every(x[1])}; }

// The numbers from a place on; lanes that are not valid get another number.
INLINE Lanes read(const double *from, int64_t valid, double other) {
  Lanes x;
  if (valid >= LANES) {
    std::memcpy(&x, from, sizeof x);
  } else {
    x = every(other);
    for (int64_t i = 0; i < valid; i++) set_lane(x, i, from[i]);
  }
  return x;
}

// A product of positive numbers, between 1 and 2, times a power of two.
struct Product {
  Wide value = wide(1);
  Lanes exponent = {};

  INLINE_MEMBER void times(Wide x) {
    const Wide found = value * x;
    const Bits size = bits_of(found.high) >> 52;
    const Lanes scale = power_of_two(2046 - size);
    value = {found.high * scale, found.low * scale};
    exponent += number_of(size);
  }
};

}  // namespace

extern "C" int64_t NAME(const Sums &b) {
  const int64_t c = b.columns;
  const Memory<Lanes> x(c * STEPS);
  const Memory<Wide> y(c * STEPS), found(c * c);
  for (int64_t e = 0; e < c * c; e++) found.start[e] = wide(0);
  Wide total = wide(0);
  Product product;
  Truth sound = ~Truth{};
  for (int64_t start = 0; start < b.n; start += BLOCK) {
    const int64_t count = b.n - start < BLOCK ? b.n - start : BLOCK, steps = (count + LANES - 1) / LANES;
    for (int64_t s = 0; s < steps; s++) {
      const int64_t at = start + s * LANES, valid = b.n - at;
      const Lanes one = read(b.one + at, valid, 1), own = b.own ? read(b.own + at, valid, 1) : every(1);
      Wide base = exact(one);
      sound &= between(one, 1 / LARGEST, LARGEST) & between(own, 1 / LARGEST, LARGEST);
      if (b.two) {
        const Lanes two = read(b.two + at, valid, 1);
        sound &= between(two, 1 / LARGEST, LARGEST);
        base = base * share(b.share[0]) + exact(two) * share(b.share[1]);
      }
      product.times(base);
      Wide weight = wide(1) / base;
      if (b.own) {
        Wide ratio = exact(own) * weight;
        weight = ratio * weight;
        for (int64_t i = valid; i < LANES; i++) set_lane(ratio.high, i, 0), set_lane(ratio.low, i, 0);
        total = total + ratio;
      }
      for (int64_t j = 0; j < c; j++) {
        const Lanes entry = read(b.numbers + j * b.n + at, valid, 0), size = absolute(entry);
        sound &= (size == 0) | between(size, 1 / LARGEST_ENTRY, LARGEST_ENTRY);
        x.start[j * STEPS + s] = entry;
        y.start[j * STEPS + s] = exact(entry) * weight;
      }
    }
    for (int64_t j = 0; j < c; j++)
      for (int64_t i = j; i < c; i += TOGETHER) {
        const Lanes *rows[TOGETHER];
        Wide sums[TOGETHER];
        for (int k = 0; k < TOGETHER; k++) rows[k] = x.start + (i + k < c ? i + k : j) * STEPS, sums[k] = wide(0);
        for (int64_t s = 0; s < steps; s++)
          for (int k = 0; k < TOGETHER; k++) sums[k] = plus_product(sums[k], rows[k][s], y.start[j * STEPS + s]);
        for (int k = 0; k < TOGETHER && i + k < c; k++) found.start[j * c + i + k] = found.start[j * c + i + k] + sums[k];
      }
  }
  for (int64_t j = 0; j < c; j++)
    for (int64_t i = j; i < c; i++) {
      const Wide sum = across(found.start[j * c + i]);
      b.results[j * c + i] = b.results[i * c + j] = lane(sum.high, 0);
      b.results[(c + j) * c + i] = b.results[(c + i) * c + j] = lane(sum.low, 0);
    }
  Product all;
  for (int i = 0; i < LANES; i++) all.times({every(lane(product.value.high, i)), every(lane(product.value.low, i))});
  const Lanes exponent = all.exponent + across(product.exponent);
  total = across(total);
  const Lanes last[] = {total.high, total.low, all.value.high, all.value.low, exponent};
  for (int i = 0; i < 5; i++) b.results[2 * c * c + i] = lane(last[i], 0);
  int64_t outside = 0;
  for (int i = 0; i < LANES; i++) outside += !sound[i];
  return outside;
}
