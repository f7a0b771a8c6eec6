// Standard normal numbers that a seed and a place determine: Philox 4x32-10 and Box-Muller, as in `jsgmath/torch/noise.py`.
#pragma once

#include "elementary.hpp"

namespace {

// Numbers for a block of `count` consecutive places, which may begin within the four numbers of a counter.
template <int64_t block>
struct Noise {
  static const int64_t COUNTERS = block / 4 + 1;
  uint64_t words[4][COUNTERS];
  double numbers[4 * COUNTERS];

  // The number at the first place.
  NOINLINE const double *draw(int64_t seed, int64_t place, int64_t count) {
    const int64_t first = place / 4, counters = (place + count + 3) / 4 - first;
    for (int64_t i = 0; i < counters; i++) philox(uint64_t(seed), uint64_t(first + i), i);
    for (int64_t pair = 0; pair < 2; pair++)
      for (int64_t i = 0; i < counters; i++) {
        Two<double, double> two = box_muller(words[2 * pair][i], words[2 * pair + 1][i]);
        numbers[4 * i + 2 * pair] = two.first;
        numbers[4 * i + 2 * pair + 1] = two.second;
      }
    return numbers + place % 4;
  }

 private:
  INLINE_MEMBER void philox(uint64_t key, uint64_t counter, int64_t i) {
    const uint64_t low = 0xFFFFFFFF;
    uint64_t c0 = counter & low, c1 = counter >> 32, c2 = 0, c3 = 0, key0 = key & low, key1 = key >> 32;
    for (int round = 0; round < 10; round++) {
      uint64_t a = 0xD2511F53 * c0, b = 0xCD9E8D57 * c2;
      c0 = (b >> 32) ^ c1 ^ key0;
      c1 = b & low;
      c2 = (a >> 32) ^ c3 ^ key1;
      c3 = a & low;
      key0 = (key0 + 0x9E3779B9) & low;
      key1 = (key1 + 0xBB67AE85) & low;
    }
    words[0][i] = c0, words[1][i] = c1, words[2][i] = c2, words[3][i] = c3;
  }

  static INLINE_MEMBER double number(uint64_t word) { return lanes_of(word | 0x4330000000000000) - 0x1p52; }

  static INLINE_MEMBER Two<double, double> box_muller(uint64_t radius_word, uint64_t direction_word) {
    const double u = (number(radius_word) + 0.5) * 0x1p-32;
    const uint64_t exponent = (bits_of(u) - SQRT_HALF + (uint64_t(1023) << 52)) >> 52;
    const double f = u * power_of_two(2046 - exponent) - 1.0, q = f / (f + 2.0), w = q * q;
    const double log_m = q * multiply_add(w, polynomial(WHOLE_TAIL, w), 2.0);
    const double radius = __builtin_sqrt(-2.0 * (LOG2.high * number_of(exponent) + log_m));
    const double angle = (number(direction_word & 0x1FFFFFFF) + 0.5) * EIGHTH, square = angle * angle;
    const double cosine = radius * polynomial(COSINE, square), sine = radius * (angle * polynomial(SINE, square));
    const bool swap = direction_word & 0x20000000;
    const double x = swap ? sine : cosine, y = swap ? cosine : sine;
    return {direction_word & 0x40000000 ? -x : x, direction_word & 0x80000000 ? -y : y};
  }
};

}  // namespace
