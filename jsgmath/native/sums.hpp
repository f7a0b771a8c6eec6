// What the C interface (interface.cpp) and the sums over coordinates (sums.cpp) have in common.
#pragma once

#include <cstdint>

// Columns of n numbers, one after the other, and two pairs that are the shares of two diagonals in a third one.
struct SumsShape {
  int64_t n, columns;
  double share[2][2];
};

// `own` is null, or a diagonal; `one` and `two` are those that the third one, B, is made of, and `two` is null if it has no share.
struct Sums : SumsShape {
  const double *numbers, *one, *two, *own;
  double *results;
};

// Finds X' w X, where w is 1/B or own/B^2: the high parts, then the low ones.  Then five numbers follow: the sum of own/B as a
// pair, and a pair and an exponent of two whose product is that of all numbers of B.  Returns 0 if all is within the limits.
typedef int64_t EvaluateSums(const Sums &sums);
