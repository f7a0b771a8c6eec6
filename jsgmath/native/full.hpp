// The declarations that the C interface (interface.cpp) and the loops over full covariances (full.cpp) share.
#pragma once

#include <cstdint>

#include "diagonal.hpp"

// More forms, of matrices.
// D + W W' of rank r is LOW_RANK + r: its rows have r entries of W, then one of D.
enum { COV = 3, SCALE_TRIL = 4, LOW_RANK = 8 };

// Computes the values of some rows: each is the nearest double (or float, if `single`), or NaN if the error bound does not
// decide which that is.  Returns the number of undecided values.  If `errors` is not null, it receives pairs and bounds, and
// nothing is rounded.
typedef int64_t EvaluateFull(const Batch &batch, int64_t first, int64_t last, double *errors);
