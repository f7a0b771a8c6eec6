// The declarations that the C interface (interface.cpp) and the loops over exponential families (families.cpp) share.
#pragma once

#include <cstdint>

enum Family { EXPONENTIAL, POISSON, GEOMETRIC, BERNOULLI, CATEGORICAL, GAMMA, DIRICHLET };
enum FamilyForm { PLAIN, INVERSE };  // rates or probabilities; scales or log-odds
// JSG, its dual, and KL(N1||N2) and Jeffreys' divergence, which need no alpha.
enum FamilyDivergence { TO_MEAN, FROM_MEAN, DIRECT, BOTH_DIRECT };

// A batch of pairs of members; each row has n independent components, and each parameter of a component has k consecutive
// numbers.  Row i of an array begins at i times its stride, which is 0 if all rows are the same.
struct FamilyShape {
  int64_t strides[4];  // of two parameters of N1 and two of N2
  int64_t copies_stride, alpha_stride, rows, n, k;
  int32_t family, form1, form2, divergence, reversed, single;
};
struct FamilyBatch : FamilyShape {
  const double *parameters[4], *copies, *alpha;
  double *values;
};

// Computes the values of some rows: each is the nearest double (or float, if `single`), or NaN if the error bound does not
// decide which that is.  Returns the number of undecided values.
typedef int64_t EvaluateFamily(const FamilyBatch &batch, int64_t first, int64_t last);
