// The declarations that the C interface (interface.cpp) and the loops over diagonal Gaussians (diagonal.cpp) share.
#pragma once

#include <cstdint>

enum Form { VAR, LOGVAR, STD };
enum Divergence { JSG, JSG_DUAL, JEFFREYS };

// A batch of pairs of diagonal Gaussians.  Row i of an array begins at i times its stride, which is n, or 0 if all
// rows are the same; alpha has a stride of 1 or 0.
struct Shape {
  int64_t mean1_stride, scale1_stride, mean2_stride, scale2_stride, alpha_stride;
  int64_t rows, n;
  int32_t form1, form2, divergence, reversed, single;
};
struct Batch : Shape {
  const double *mean1, *scale1, *mean2, *scale2, *alpha;
  double *values;
};

// Computes the values of some rows: each is the nearest double (or float, if `single`), or NaN if the error bound does not
// decide which that is.  Returns the number of undecided values.
typedef int64_t Evaluate(const Batch &batch, int64_t first, int64_t last);

// Copies numbers; returns 0 if all of them are finite and at least `smallest`.
typedef int64_t Copy(const double *from, double *to, int64_t count, double smallest);

// Cholesky factors of small matrices (factor.cpp).
typedef int64_t Factor(const double *matrices, double *factors, int64_t count, int64_t n, double least);
