// The declarations that the C interface (interface.cpp) and the loops over tensors (tensors.cpp, full_tensors.cpp) share.
#pragma once

#include <cstdint>

// Rows of Gaussians, in floats or in doubles, and the results to compute; `jsgmath/torch/native/diagonal.py` packs it.
// Scales are log-variances or, if `full`, n rows of Cholesky factors, and a row of the batch is a pair.  Row i of an input
// begins at i times its stride.  A null pointer stands for an input that is not given (without a second Gaussian that is
// N(0, I), without alphas or factors the single numbers hold) and for a result that is not needed.  Results have no gaps
// between their rows.
struct Tensors {
  const void *mean1, *scale1, *mean2, *scale2;
  const double *alphas;
  const void *factors;
  void *values, *by_mean1, *by_scale1, *by_scale2, *by_alpha;
  const void *by_sample;  // the gradient by a sample of the first Gaussian, which is added to that by the divergence
  void *sample;           // a sample itself
  int64_t mean1_stride, scale1_stride, mean2_stride, scale2_stride, alpha_stride, factor_stride, by_sample_stride;
  int64_t rows, n, seed, place;  // place: that of the sample's first number in the sequence of the seed
  double alpha, factor;  // derivatives are multiplied by the factor
  int32_t dual, reversed, doubles, full;
};

// Computes some rows.  The result of a row does not depend on the other rows.  Returns how many blocks of diagonal Gaussians
// have numbers so large that results may be wrong; 0 for full covariances.
typedef int64_t EvaluateTensors(const Tensors &tensors, int64_t first, int64_t last);
