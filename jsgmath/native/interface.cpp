// The C interface of the core: chooses the instruction set, and shares the rows of a batch among threads.
#ifdef X86
#include <cpuid.h>
#endif

#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "families.hpp"
#include "full.hpp"
#include "many.hpp"
#include "sources.hpp"
#include "sums.hpp"
#include "tensors.hpp"

extern "C" {
Copy copy_plain;
Factor factor_small;
Evaluate diagonal_plain, gradient_plain;
EvaluateFamily families_plain, gamma_plain;
EvaluateMany many_plain, full_many_plain;
EvaluateSums sums_plain;
EvaluateFull full_plain, single_plain;
EvaluateTensors tensors_plain, full_tensors_plain, single_tensors_plain;
#ifdef X86
Copy copy_avx2, copy_avx512;
Evaluate diagonal_avx2, diagonal_avx512, gradient_avx2, gradient_avx512;
EvaluateFamily families_avx2, families_avx512, gamma_avx2, gamma_avx512;
EvaluateMany many_avx2, many_avx512, full_many_avx2, full_many_avx512;
EvaluateSums sums_avx2, sums_avx512;
EvaluateFull full_avx2, full_avx512, single_avx2, single_avx512;
EvaluateTensors tensors_avx2, tensors_avx512, full_tensors_avx2, full_tensors_avx512, single_tensors_avx2, single_tensors_avx512;
#endif
}

namespace {

struct InstructionSet {
  const char *name;
  Copy *copy;
  Evaluate *diagonal, *gradient;
  EvaluateFull *full, *single;
  EvaluateTensors *tensors, *full_tensors, *single_tensors;
  EvaluateFamily *families, *gamma;
  EvaluateMany *many, *full_many;
  EvaluateSums *sums;
  int64_t lanes;
};

#ifdef X86
// Whether the processor has AVX2 and FMA, and AVX-512 with DQ and VL, and the system saves their registers.  Not every
// compiler's runtime answers __builtin_cpu_supports.
struct Vectors {
  bool avx2 = false, avx512 = false;

  Vectors() {
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const unsigned fma = 1u << 12, xsave = 1u << 27;
    if ((c & (fma | xsave)) != (fma | xsave)) return;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    const unsigned ymm = 0x6, zmm = 0xe6, f = 1u << 16, dq = 1u << 17, vl = 1u << 31;
    avx2 = (saved & ymm) == ymm && (b & 1u << 5);
    avx512 = avx2 && (saved & zmm) == zmm && (b & (f | dq | vl)) == (f | dq | vl);
  }
};
#endif

// The instruction sets of this binary that the processor has, the best first.
std::vector<InstructionSet> available() {
  std::vector<InstructionSet> sets;
#ifdef X86
  const Vectors has;
  if (has.avx512)
    sets.push_back({"avx512", copy_avx512, diagonal_avx512, gradient_avx512, full_avx512, single_avx512, tensors_avx512, full_tensors_avx512, single_tensors_avx512, families_avx512, gamma_avx512, many_avx512, full_many_avx512, sums_avx512, 8});
  if (has.avx2)
    sets.push_back({"avx2", copy_avx2, diagonal_avx2, gradient_avx2, full_avx2, single_avx2, tensors_avx2, full_tensors_avx2, single_tensors_avx2, families_avx2, gamma_avx2, many_avx2, full_many_avx2, sums_avx2, 4});
#endif
  sets.push_back({"plain", copy_plain, diagonal_plain, gradient_plain, full_plain, single_plain, tensors_plain, full_tensors_plain, single_tensors_plain, families_plain, gamma_plain, many_plain, full_many_plain, sums_plain, 2});
  return sets;
}

const std::vector<InstructionSet> &sets() {
  static const std::vector<InstructionSet> found = available();
  return found;
}

// Calls a function in several threads for parts of the rows, whose lengths are multiples of `unit`; returns the sum of its
// results.
template <class Function>
int64_t shared(int64_t rows, int32_t threads, int64_t unit, Function function) {
  if (threads < 2) return function(0, rows);
  std::atomic<int64_t> next{0}, sum{0};
  const int64_t step = (rows / (8 * threads) / unit + 1) * unit;
  auto work = [&] {
    for (int64_t first; (first = next.fetch_add(step)) < rows;)
      sum += function(first, first + step < rows ? first + step : rows);
  };
  std::vector<std::thread> others;
  for (int32_t i = 1; i < threads; i++) others.emplace_back(work);
  work();
  for (std::thread &other : others) other.join();
  return sum;
}

}  // namespace

#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

// The checksum of the library's sources, which its loader compares.
EXPORT const char *jsgmath_sources() { return SOURCES; }

// The name of an instruction set by its place among those available, or null.
EXPORT const char *jsgmath_instruction_set(int32_t place) {
  return place < int32_t(sets().size()) ? sets()[place].name : nullptr;
}

// Computes a batch with several threads; returns the number of rows that the error bound does not decide.
EXPORT int64_t jsgmath_diagonal(const Shape *shape, const double *mean1, const double *scale1, const double *mean2,
                                const double *scale2, const double *alpha, double *values, int32_t place,
                                int32_t threads) {
  Batch batch;
  std::memcpy(static_cast<Shape *>(&batch), shape, sizeof *shape);  // Python's bytes may not be aligned
  batch.mean1 = mean1, batch.scale1 = scale1, batch.mean2 = mean2, batch.scale2 = scale2;
  batch.alpha = alpha, batch.values = values;
  Evaluate *evaluate = sets()[place].diagonal;
  return shared(batch.rows, threads, 1, [&](int64_t first, int64_t last) { return evaluate(batch, first, last); });
}

// Computes derivatives: five for each column, one after the other, and last that by alpha, which is NaN for an undecided row.
EXPORT int64_t jsgmath_gradient(const Shape *shape, const double *mean1, const double *scale1, const double *mean2,
                                const double *scale2, const double *alpha, double *values, int32_t place,
                                int32_t threads) {
  Batch batch;
  std::memcpy(static_cast<Shape *>(&batch), shape, sizeof *shape);
  batch.mean1 = mean1, batch.scale1 = scale1, batch.mean2 = mean2, batch.scale2 = scale2;
  batch.alpha = alpha, batch.values = values;
  const InstructionSet &set = sets()[place];
  return shared(batch.rows, threads, set.lanes, [&](int64_t first, int64_t last) { return set.gradient(batch, first, last); });
}

// Computes a batch in which one Gaussian or both have a full covariance.  If `errors` is not null, it receives three numbers
// for each row: the value before it is rounded, as a pair, and the bound on its error.
EXPORT int64_t jsgmath_full(const Shape *shape, const double *mean1, const double *scale1, const double *mean2,
                            const double *scale2, const double *alpha, double *values, int32_t place, int32_t threads,
                            double *errors) {
  Batch batch;
  std::memcpy(static_cast<Shape *>(&batch), shape, sizeof *shape);
  batch.mean1 = mean1, batch.scale1 = scale1, batch.mean2 = mean2, batch.scale2 = scale2;
  batch.alpha = alpha, batch.values = values;
  const InstructionSet &set = sets()[place];
  return shared(batch.rows, threads, set.lanes, [&](int64_t first, int64_t last) {
    // The last rows may be too few for vectors: in large dimensions, one by one is faster.
    int64_t rest = (last - first) % set.lanes;
    if (rest > 1 && (batch.n < 48 || 2 * rest >= set.lanes)) rest = 0;
    return set.full(batch, first, last - rest, errors) + set.single(batch, last - rest, last, errors);
  });
}

// Copies numbers; returns 0 if all of them are finite and at least `smallest`.
EXPORT int64_t jsgmath_copy(const double *from, double *to, int64_t count, double smallest, int32_t place) {
  return sets()[place].copy(from, to, count, smallest);
}

// Finds Cholesky factors of small matrices; returns 0 if all are symmetric and clearly positive definite.
EXPORT int64_t jsgmath_factor(const double *matrices, double *factors, int64_t count, int64_t n, double least) {
  return factor_small(matrices, factors, count, n, least);
}

// From this dimension on, pairs of tensors are computed one by one, with vectors along the columns.
const int64_t ONE_BY_ONE = 32;

// Computes tensors with several threads; see EvaluateTensors for what is returned.
EXPORT int64_t jsgmath_tensors(const Tensors *asked, int32_t place, int32_t threads) {
  Tensors tensors;
  std::memcpy(&tensors, asked, sizeof tensors);
  const InstructionSet &set = sets()[place];
  const bool one_by_one = tensors.n >= ONE_BY_ONE;
  EvaluateTensors *evaluate = !tensors.full ? set.tensors : one_by_one ? set.single_tensors : set.full_tensors;
  const int64_t unit = !tensors.full || one_by_one ? 1 : set.lanes;
  return shared(tensors.rows, threads, unit, [&](int64_t first, int64_t last) { return evaluate(tensors, first, last); });
}

// Computes a batch of pairs of members of an exponential family, like jsgmath_diagonal.
EXPORT int64_t jsgmath_families(const FamilyShape *shape, const double *first1, const double *second1, const double *first2,
                                const double *second2, const double *copies, const double *alpha, double *values,
                                int32_t place, int32_t threads) {
  FamilyBatch batch;
  std::memcpy(static_cast<FamilyShape *>(&batch), shape, sizeof *shape);
  batch.parameters[0] = first1, batch.parameters[1] = second1, batch.parameters[2] = first2, batch.parameters[3] = second2;
  batch.copies = copies, batch.alpha = alpha, batch.values = values;
  const InstructionSet &set = sets()[place];
  EvaluateFamily *evaluate = batch.family < GAMMA ? set.families : set.gamma;
  return shared(batch.rows, threads, set.lanes, [&](int64_t first, int64_t last) { return evaluate(batch, first, last); });
}

// Computes a batch of several Gaussians each, as jsgmath_diagonal; or of full covariances.
EXPORT int64_t jsgmath_many(const ManyShape *shape, const OneOfMany *members, const double *weights, double *values, int32_t place,
                            int32_t threads, int32_t full) {
  ManyBatch batch;
  std::memcpy(static_cast<ManyShape *>(&batch), shape, sizeof *shape);
  std::vector<OneOfMany> aligned(batch.k);
  std::memcpy(aligned.data(), members, batch.k * sizeof *members);
  batch.members = aligned.data(), batch.weights = weights, batch.values = values;
  const InstructionSet &set = sets()[place];
  return shared(batch.rows, threads, set.lanes, [&](int64_t first, int64_t last) {
    return (full ? set.full_many : set.many)(batch, first, last);
  });
}

// Computes sums over the coordinates of Gaussians of low rank; returns 0 if all numbers are within the limits.
EXPORT int64_t jsgmath_sums(const SumsShape *shape, const double *numbers, const double *one, const double *two, const double *own,
                            double *results, int32_t place) {
  Sums sums;
  std::memcpy(static_cast<SumsShape *>(&sums), shape, sizeof *shape);
  sums.numbers = numbers, sums.one = one, sums.two = two, sums.own = own, sums.results = results;
  return sets()[place].sums(sums);
}
