// What the C interface (interface.cpp) and the loops over full covariances (full.cpp) have in common.
#pragma once

#include <cstdint>

#include "diagonal.hpp"

// More forms, of matrices.
// D + W W' of rank r is LOW_RANK + r: its rows have r entries of W, then one of D.
enum { COV = 3, SCALE_TRIL = 4, LOW_RANK = 8 };

// The values of some rows, each the nearest double (of those that a float holds, if `single`), or NaN where the error bound
// leaves that open; how many are open.  Where `errors` is not null, it receives pairs and bounds in place of the rounding.
typedef int64_t EvaluateFull(const Batch &batch, int64_t first, int64_t last, double *errors);
