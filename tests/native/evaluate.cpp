// Evaluates one-dimensional pairs and longer ones, one divergence a time: a struct Batch without pointers and its numbers
// on standard input, a value on standard output, until the input ends. For processors that run in an emulator.
#include <cstdio>
#include <vector>

#include "diagonal.hpp"

extern "C" int64_t jsgmath_diagonal(const Shape *, const double *, const double *, const double *, const double *,
                                    const double *, double *, int32_t place, int32_t threads);

int main() {
  int32_t head[6];  // n, form1, form2, divergence, reversed, single
  while (std::fread(head, sizeof head, 1, stdin) == 1) {
    const int64_t n = head[0];
    std::vector<double> numbers(4 * n + 1);
    if (std::fread(numbers.data(), sizeof(double), numbers.size(), stdin) != numbers.size()) return 1;
    double value, *x = numbers.data();
    Shape shape = {n, n, n, n, 0, 1, n, head[1], head[2], head[3], head[4], head[5]};
    jsgmath_diagonal(&shape, x, x + n, x + 2 * n, x + 3 * n, x + 4 * n, &value, 0, 1);
    std::fwrite(&value, sizeof value, 1, stdout);
  }
  return 0;
}
