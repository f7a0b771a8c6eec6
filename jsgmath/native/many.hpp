// The declarations that the C interface (interface.cpp) and the loops over several Gaussians (many.cpp) share.
#pragma once

#include <cstdint>

#include "diagonal.hpp"

// Row i of an array begins at i times its stride, which is n, or 0 if all rows are the same.
struct OneOfMany {
  const double *mean, *scale;
  int64_t mean_stride, scale_stride, form;
};
// In place of `single`, for full covariances: values are pairs and bounds on their errors.
enum { NOT_ROUNDED = 2 };
struct ManyShape {
  int64_t rows, n, k, weight_rows;
  int32_t dual, single;
};

// A batch of k diagonal Gaussians and their product in each row.  The weights are four arrays of k rows: those in the sum,
// their low parts, those in the product, their low parts; each has a number for every row of the batch, or one.
struct ManyBatch : ManyShape {
  const OneOfMany *members;
  const double *weights;
  double *values;

  const double *weight(int part, int64_t member) const { return weights + (part * k + member) * weight_rows; }
};

// Computes the values of some rows, like `Evaluate`.
typedef int64_t EvaluateMany(const ManyBatch &batch, int64_t first, int64_t last);
