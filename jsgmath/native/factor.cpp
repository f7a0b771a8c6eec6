// Cholesky factors of small matrices, in doubles and with the same bits on every machine.
#include "diagonal.hpp"

#include <cmath>

// Computes the lower factor of each n-by-n matrix.  Returns 0, or 1 at the first matrix that is not symmetric, or whose
// determinant does not exceed `least` times the product of its diagonal.
extern "C" int64_t factor_small(const double *matrices, double *factors, int64_t count, int64_t n, double least) {
  for (const double *end = matrices + count * n * n; matrices < end; matrices += n * n, factors += n * n) {
    double determinant = 1;
    for (int64_t i = 0; i < n; i++) {
      const double *given = matrices + i * n;
      double *row = factors + i * n;
      for (int64_t j = 0; j <= i; j++) {
        if (given[j] != matrices[j * n + i]) return 1;
        const double *other = factors + j * n;
        double rest = given[j];
        for (int64_t k = 0; k < j; k++) rest -= row[k] * other[k];
        if (j < i) {
          row[j] = rest / other[j];
        } else {
          row[i] = std::sqrt(rest);
          determinant = rest > 0 ? determinant * (rest / given[i]) : 0;
        }
      }
      if (!(determinant > least)) return 1;
      for (int64_t j = i + 1; j < n; j++) row[j] = 0;
    }
  }
  return 0;
}
