// Vectors of doubles, whose elements, the lanes, are computed together.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__aarch64__) && !defined(ONE_LANE)
#include <arm_neon.h>
#elif defined(__AVX2__) && defined(__clang__) && !defined(ONE_LANE)
#include <immintrin.h>  // GCC has built-in functions for the few instructions; it would take longer to read this header
#endif

#define INLINE static inline __attribute__((always_inline))
#define INLINE_MEMBER __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

namespace {

#if defined(ONE_LANE)
const int LANES = 1;
#elif defined(__AVX512F__)
const int LANES = 8;
#elif defined(__AVX2__)
const int LANES = 4;
#else
const int LANES = 2;
#endif

// Truth is the result of a comparison; 0 is false.
#if defined(ONE_LANE)
typedef double Lanes;
typedef uint64_t Bits;
typedef int64_t Truth;
INLINE double lane(Lanes x, int) { return x; }
INLINE void set_lane(Lanes &x, int, double value) { x = value; }
#else
typedef double Lanes __attribute__((vector_size(8 * LANES)));
typedef uint64_t Bits __attribute__((vector_size(8 * LANES)));
typedef int64_t Truth __attribute__((vector_size(8 * LANES)));
INLINE double lane(Lanes x, int i) { return x[i]; }
INLINE void set_lane(Lanes &x, int i, double value) { x[i] = value; }
#endif
INLINE Bits bits_of(Lanes x) {
  Bits bits;
  std::memcpy(&bits, &x, sizeof x);
  return bits;
}
INLINE Lanes lanes_of(Bits bits) {
  Lanes x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Lanes chosen from a and b by their numbers; those of a are counted first.
template <size_t... place>
INLINE Lanes taken(Lanes a, Lanes b) {
#if defined(ONE_LANE)
  return (void)b, a;
#elif defined(__clang__)
  return __builtin_shufflevector(a, b, int(place)...);
#else
  return __builtin_shuffle(a, b, Bits{place...});
#endif
}

// Uninitialised memory for some numbers; <memory> would take the compiler a tenth of a second.
template <class T>
struct Memory {
  T *const start;
  explicit Memory(int64_t count) : start(new T[count]) {}
  Memory(const Memory &) = delete;
  ~Memory() { delete[] start; }
};

const double NAN_ = __builtin_nan("");

INLINE Lanes every(double x) { return x - Lanes{}; }
INLINE Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }
INLINE Lanes absolute(Lanes a) { return lanes_of(bits_of(a) & 0x7fffffffffffffff); }
INLINE Truth between(Lanes x, double low, double high) { return (x >= low) & (x <= high); }
INLINE Lanes poison(Truth sound) { return sound ? Lanes{} : every(NAN_); }

#if defined(__AVX512F__)
const int AS_IT_IS = 4;  // the direction of rounding
#endif

// Whether the processor multiplies and adds in one instruction.
#if defined(__FMA__) || defined(__aarch64__)
const bool FUSED = true;
#else
const bool FUSED = false;
#endif

// a * b + c, rounded once where the processor has an instruction for it, else twice; the bounds hold for both.
#if defined(ONE_LANE) && (defined(__FMA__) || defined(__aarch64__))
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return __builtin_fma(a, b, c); }
#elif defined(ONE_LANE)
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return a * b + c; }
#elif defined(__AVX512F__) && defined(__clang__)
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(__AVX512F__)
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, AS_IT_IS); }
#elif defined(__AVX2__) && defined(__clang__)
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_pd(a, b, c); }
#elif defined(__AVX2__)
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return __builtin_ia32_vfmaddpd256(a, b, c); }
#elif defined(__aarch64__)
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return (Lanes)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
#else
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return a * b + c; }
#endif

#if defined(ONE_LANE)
INLINE Lanes root(Lanes a) { return __builtin_sqrt(a); }
#elif defined(__AVX512F__) && defined(__clang__)
INLINE Lanes root(Lanes a) { return _mm512_sqrt_pd(a); }
#elif defined(__AVX512F__)
INLINE Lanes root(Lanes a) { return __builtin_ia32_sqrtpd512_mask(a, a, -1, AS_IT_IS); }
#elif defined(__AVX2__) && defined(__clang__)
INLINE Lanes root(Lanes a) { return _mm256_sqrt_pd(a); }
#elif defined(__AVX2__)
INLINE Lanes root(Lanes a) { return __builtin_ia32_sqrtpd256(a); }
#elif defined(__aarch64__)
INLINE Lanes root(Lanes a) { return (Lanes)vsqrtq_f64((float64x2_t)a); }
#else
INLINE Lanes root(Lanes a) {
  for (int i = 0; i < LANES; i++) a[i] = __builtin_sqrt(a[i]);
  return a;
}
#endif

}  // namespace
