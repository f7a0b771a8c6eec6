// Divergences of full covariances in pairs of doubles, rounded once where the bound on their error allows it.
//
// Compiled for every instruction set, as the function NAME: each lane of a vector has another pair of Gaussians.  With
// ONE_LANE pairs are computed one by one, and the compiler makes vectors of the innermost loops, which changes no bit.
// verification/README.md, "Full covariances in pairs of doubles", has the method and derives the bound. In short, with
// S2 = L L', L^-1 S1 L^-T = A = I + X = T T' and V = T^-1, the brackets of "Full covariances from Cholesky factors" are
// those of g2 X and g1 (V'V - I), and the terms of the means are sums of squares too.
#include "full.hpp"

#include "kernels.hpp"
#include "wide.hpp"

namespace {

// Within these limits nothing overflows, and the underflow of a low part is negligible: variances lie between 1/LARGEST and
// LARGEST, and so does the largest entry of the differences of the means and of X, unless it is 0.
const double LARGEST = 0x1p100;
// The relative error of the kernels, with a margin; that of one operation.
const double KERNEL = 0x1p-69, OPERATION = 0x1p-99;

// Matrices are stored by columns; only the lower triangle of a symmetric or triangular matrix is used.
struct Workspace {
  int64_t n;
  Memory<Wide> memory;
  Wide *L, *X, *T, *V, *K, *W, *d, *p, *q, *pivots;

  explicit Workspace(int64_t n) : n(n), memory(6 * n * n + 4 * n) {
    const int64_t square = n * n;
    Wide *start = memory.start;
    Wide **matrices[] = {&L, &X, &T, &V, &K, &W};
    for (Wide **matrix : matrices) *matrix = start, start += square;
    d = start, p = d + n, q = p + n, pivots = q + n;
  }
};

INLINE Lanes square_of(Wide a) { return a.high * a.high; }

// The sum of the squares of a vector.
Wide squares(const Wide *x, int64_t n) {
  Wide sum = wide(0);
  for (int64_t i = 0; i < n; i++) sum = plus_product(sum, x[i], x[i]);
  return sum;
}

// The square of the Frobenius norm of a triangle, in doubles; weight = 2 counts both triangles of a symmetric matrix.
Lanes norm_square(const Wide *A, int64_t n, double weight = 1) {
  Lanes on = {}, off = {};
  for (int64_t j = 0; j < n; j++) {
    on += square_of(A[j * n + j]);
    for (int64_t i = j + 1; i < n; i++) off += square_of(A[j * n + i]);
  }
  return on + weight * off;
}

// The lower triangle of A becomes L with A = L L'.
void factor(Wide *A, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    Wide *column = A + j * n;
    for (int64_t k = 0; k < j; k++) {
      const Wide *before = A + k * n, f = before[j];
      for (int64_t i = j; i < n; i++) column[i] = minus_product(column[i], before[i], f);
    }
    const Wide pivot = root(column[j]), inverse = wide(1) / pivot;
    column[j] = pivot;
    for (int64_t i = j + 1; i < n; i++) column[i] = column[i] * inverse;
  }
}

// B becomes B L^-T: all of it, or its lower triangle.
template <bool lower>
void divide(Wide *B, const Wide *L, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    Wide *column = B + j * n;
    const int64_t start = lower ? j : 0;
    for (int64_t k = 0; k < j; k++) {
      const Wide *before = B + k * n, f = L[k * n + j];
      for (int64_t i = start; i < n; i++) column[i] = minus_product(column[i], before[i], f);
    }
    const Wide inverse = wide(1) / L[j * n + j];
    for (int64_t i = start; i < n; i++) column[i] = column[i] * inverse;
  }
}

void transpose(const Wide *A, Wide *to, int64_t n) {
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = 0; i < n; i++) to[j * n + i] = A[i * n + j];
}

// The lower triangle of M becomes C with I + M = (I + C)(I + C)', and its pivots 1 + t_j are found; the sum of the squares of
// C off its diagonal.
Wide factor_of_sum(Wide *M, Wide *pivots, int64_t n) {
  Wide sum = wide(0);
  for (int64_t j = 0; j < n; j++) {
    Wide *column = M + j * n;
    for (int64_t k = 0; k < j; k++) {
      const Wide *before = M + k * n, f = before[j];
      for (int64_t i = j; i < n; i++) column[i] = minus_product(column[i], before[i], f);
    }
    const Wide t = column[j], pivot = root(wide(1) + t), inverse = wide(1) / pivot;
    pivots[j] = t;
    column[j] = t / (wide(1) + pivot);
    for (int64_t i = j + 1; i < n; i++) {
      column[i] = column[i] * inverse;
      sum = plus_product(sum, column[i], column[i]);
    }
  }
  return sum;
}

// The lower triangle H with (I + H)(I + C) = I.
void inverse_of_sum(const Wide *C, Wide *H, int64_t n) {
  for (int64_t j = n - 1; j >= 0; j--) {
    Wide *column = H + j * n;
    const Wide *given = C + j * n;
    for (int64_t i = j; i < n; i++) column[i] = -given[i];
    for (int64_t k = j + 1; k < n; k++) {
      const Wide *after = H + k * n, f = given[k];
      for (int64_t i = k; i < n; i++) column[i] = minus_product(column[i], after[i], f);
    }
    const Wide inverse = wide(1) / (wide(1) + given[j]);
    for (int64_t i = j; i < n; i++) column[i] = column[i] * inverse;
  }
}

// The lower triangle of g ((I + H)'(I + H) - I), for a lower triangular H, whose transpose is needed on the way.
void congruence(const Wide *H, Wide g, Wide *rows, Wide *M, int64_t n) {
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = 0; i <= j; i++) rows[j * n + i] = H[i * n + j];
  for (int64_t j = 0; j < n; j++) {
    Wide *column = M + j * n;
    for (int64_t i = j; i < n; i++) column[i] = H[j * n + i];
    column[j] = column[j] + column[j];
    for (int64_t k = j; k < n; k++) {
      const Wide *row = rows + k * n, f = row[j];
      for (int64_t i = j; i <= k; i++) column[i] = plus_product(column[i], row[i], f);
    }
    for (int64_t i = j; i < n; i++) column[i] = column[i] * g;
  }
}

// x becomes (D + C)^-1 x for a lower triangular C, where D is I or 0.
template <bool sum>
void solve(const Wide *C, Wide *x, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    const Wide *column = C + j * n;
    x[j] = x[j] / (sum ? wide(1) + column[j] : column[j]);
    for (int64_t i = j + 1; i < n; i++) x[i] = minus_product(x[i], column[i], x[j]);
  }
}

// x becomes (I + C)'^-1 x.
void solve_transposed(const Wide *C, Wide *x, int64_t n) {
  for (int64_t j = n - 1; j >= 0; j--) {
    const Wide *column = C + j * n;
    for (int64_t i = j + 1; i < n; i++) x[j] = minus_product(x[j], column[i], x[i]);
    x[j] = x[j] / (wide(1) + column[j]);
  }
}

// x becomes (I + C) x, or (I + C)' x.
void multiply(const Wide *C, Wide *x, int64_t n) {
  for (int64_t j = n - 1; j >= 0; j--) {
    const Wide *column = C + j * n;
    for (int64_t i = j + 1; i < n; i++) x[i] = plus_product(x[i], column[i], x[j]);
    x[j] = plus_product(x[j], column[j], x[j]);
  }
}
void multiply_transposed(const Wide *C, Wide *x, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    const Wide *column = C + j * n;
    x[j] = plus_product(x[j], column[j], x[j]);
    for (int64_t i = j + 1; i < n; i++) x[j] = plus_product(x[j], column[i], x[i]);
  }
}

// The lower triangle of B becomes L^-1 B, for a lower triangular B; `inverses` has room for n numbers.
void divide_left(Wide *B, const Wide *L, Wide *inverses, int64_t n) {
  for (int64_t k = 0; k < n; k++) inverses[k] = wide(1) / L[k * n + k];
  for (int64_t j = 0; j < n; j++) {
    Wide *column = B + j * n;
    for (int64_t k = j; k < n; k++) {
      const Wide f = column[k] = column[k] * inverses[k], *before = L + k * n;
      for (int64_t i = k + 1; i < n; i++) column[i] = minus_product(column[i], before[i], f);
    }
  }
}

// The lower triangle of (I + N)(I + N)' - I, for a lower triangular N.
void square_of_sum(const Wide *N, Wide *M, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    for (int64_t i = j; i < n; i++) M[j * n + i] = N[j * n + i];
    M[j * n + j] = N[j * n + j] + N[j * n + j];
  }
  for (int64_t j = 0; j < n; j++) {
    Wide *column = M + j * n;
    for (int64_t k = 0; k <= j; k++) {
      const Wide *before = N + k * n, f = before[j];
      for (int64_t i = j; i < n; i++) column[i] = plus_product(column[i], before[i], f);
    }
  }
}

// The sum of g(t) or gs(t) over the pivots 1 + t.
template <class Kernel>
Wide sum_of_kernels(const Wide *pivots, int64_t n) {
  Wide sum = wide(0);
  for (int64_t j = 0; j < n; j++) {
    const Wide x = pivots[j], k = wide(1) + x;
    const Pair term = Kernel{}(x, k, k, Unused{});
    sum = sum + Wide(fast_two_sum(term.high, term.low));
  }
  return sum;
}

// Two upper bounds on the square of the spectral norm of a triangle with `diagonal` added to its diagonal; the first is that of the
// Frobenius norm. `sums` has room for n numbers.
struct Norms {
  Lanes frobenius, spectral;
};
template <class Entry>
INLINE Norms norms_of(Entry entry, Lanes *sums, int64_t n) {
  Lanes squares = {}, columns = {}, rows = {};
  for (int64_t i = 0; i < n; i++) sums[i] = Lanes{};
  for (int64_t j = 0; j < n; j++) {
    Lanes column = {};
    for (int64_t i = j; i < n; i++) {
      Lanes x = entry(i, j), size = larger(x, -x);
      squares += x * x;
      column += size;
      sums[i] += size;
    }
    columns = larger(columns, column);
  }
  for (int64_t i = 0; i < n; i++) rows = larger(rows, sums[i]);
  return {squares, squares < columns * rows ? squares : columns * rows};
}

// An upper bound on the square of the spectral norm of (D + C)^-1 diag(scale), from an inverse Y in doubles; D is I or 0. It is
// not a number where rounding might spoil it.
template <bool sum>
Lanes inverse_norm_square(const Wide *C, const Lanes *scale, Lanes *Y, Lanes *sums, int64_t n) {
  Lanes size = {};
  for (int64_t j = 0; j < n; j++) {
    Lanes *x = Y + j * n;
    for (int64_t i = j + 1; i < n; i++) x[i] = Lanes{};
    x[j] = scale[j];
    for (int64_t k = j; k < n; k++) {
      const Wide *column = C + k * n;
      x[k] /= (sum ? 1 : 0) + column[k].high;
      for (int64_t i = k + 1; i < n; i++) x[i] -= column[i].high * x[k];
    }
    const Wide *given = C + j * n;
    for (int64_t i = j; i < n; i++) {
      Lanes entry = (given[i].high + (sum && i == j ? 1 : 0)) / scale[i];
      size += entry * entry;
    }
  }
  Norms norms = norms_of([=](int64_t i, int64_t j) { return Y[j * n + i]; }, sums, n);
  Lanes rounding = double(n + 8) * 0x1p-50 * root(size * norms.frobenius);
  Lanes bound = root(norms.spectral) + 1.1 * rounding * root(norms.frobenius);
  return rounding < 0x1p-7 ? 1.01 * bound * bound : every(NAN_);
}

// Scales as matrices of pairs, another one in each lane.
struct Loaded {
  const Batch &batch;
  int64_t first, last, n;

  INLINE_MEMBER int64_t row(int lane) const { return first + lane < last ? first + lane : last - 1; }
  INLINE_MEMBER Lanes entry(const double *array, int64_t stride, int64_t at) const {
    Lanes x;
    for (int i = 0; i < LANES; i++) set_lane(x, i, array[row(i) * stride + at]);
    return x;
  }

  // The lower triangle of a covariance, and of its factor if that is given; the error of an entry (i, j) relative to the root of
  // the product of the variances i and j.
  double covariance(int32_t form, const double *scale, int64_t stride, Wide *S, Wide *L) const {
    if (form >= LOW_RANK) {
      const int64_t rank = form - LOW_RANK;
      for (int64_t j = 0; j < n; j++)
        for (int64_t i = j; i < n; i++) {
          Wide sum = wide(0);
          if (i == j) sum.high = entry(scale, stride, i * (rank + 1) + rank);
          for (int64_t k = 0; k < rank; k++) {
            Wide a = wide(0), b = wide(0);
            a.high = entry(scale, stride, i * (rank + 1) + k);
            b.high = entry(scale, stride, j * (rank + 1) + k);
            sum = plus_product(sum, a, b);
          }
          S[j * n + i] = sum;
        }
      return 2 * (rank + 16) * OPERATION;
    }
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = j; i < n; i++) {
        Wide x = wide(0);
        if (form == COV || form == SCALE_TRIL) x.high = entry(scale, stride, i * n + j);
        else if (i == j) x.high = entry(scale, stride, i);
        if (form == STD) x = two_product(x.high, x.high);
        S[j * n + i] = x;
      }
    if (form != SCALE_TRIL) return 0;
    for (int64_t e = 0; e < n * n; e++) L[e] = S[e], S[e] = wide(0);
    for (int64_t k = 0; k < n; k++)
      for (int64_t j = k; j < n; j++)
        for (int64_t i = j; i < n; i++) S[j * n + i] = plus_product(S[j * n + i], L[k * n + i], L[k * n + j]);
    return 2 * (n + 16) * OPERATION;
  }
};

INLINE Lanes sound_or_zero(Lanes largest) {
  return (largest == 0) | ((largest >= 1 / LARGEST) & (largest <= LARGEST)) ? Lanes{} : every(NAN_);
}

// What brackets and the terms of means need.
struct Common {
  Workspace &w;
  int64_t n;
  double nu;  // of a dot product and what follows it, relative to the sum of the sizes of its terms
  Common(Workspace &w, double nu) : w(w), n(w.n), nu(nu) {}
};

Lanes squares_high(const Wide *v, int64_t n) {
  Lanes sum = {};
  for (int64_t i = 0; i < n; i++) sum += square_of(v[i]);
  return sum;
}

// The square of the norm of I + C.
Lanes sum_norm_square(const Wide *C, int64_t n) {
  Lanes sum = norm_square(C, n);
  for (int64_t i = 0; i < n; i++) sum += 2 * C[i * n + i].high + 1;
  return sum;
}

// What the block's divergences are made of. Every error is absolute; of matrices in the Frobenius norm.
struct Reduction : Common {
  Lanes x, dx;  // the norm of X, and its error
  Lanes delta, zeta;  // the norm of d, and its relative error
  Lanes norm_n, v2, frobenius;  // the norm of T - I; bounds on the squares of the spectral and of the Frobenius norm of V
  Lanes theta, q;               // the errors of A and of V'V relative to themselves
  bool far;  // whether T is L^-1 times the factor of S1, which is better for far pairs, or is computed from S1 - S2
  Lanes apart;  // if it is L^-1 times the factor, the relative error of A, which dx then does not contain

  // Finds X and d, and T if `far`.
  Reduction(Workspace &w, const Loaded &in, bool far) : Common(w, 2 * (w.n + 16) * OPERATION), far(far), apart{} {
    const Batch &b = in.batch;
    Wide *S1 = w.X, *S2 = w.K;
    double error1 = in.covariance(b.form1, b.scale1, b.scale1_stride, S1, w.T);
    double error2 = in.covariance(b.form2, b.scale2, b.scale2_stride, S2, w.L);
    Lanes ratio = {}, unsound = {}, largest = {};
    Lanes *scale = reinterpret_cast<Lanes *>(w.p);
    for (int64_t i = 0; i < n; i++) {
      Lanes v1 = S1[i * n + i].high, v2 = S2[i * n + i].high;
      unsound += ((v1 > 0) & (v2 > 0)) ? sound_or_zero(v1) + sound_or_zero(v2) : every(NAN_);
      ratio = larger(ratio, v1 / v2);
      scale[i] = root(v2);
      w.d[i] = two_sum(in.entry(b.mean1, b.mean1_stride, i), -in.entry(b.mean2, b.mean2_stride, i));
      largest = larger(largest, larger(w.d[i].high, -w.d[i].high));
    }
    unsound += sound_or_zero(largest);
    if (b.form2 != SCALE_TRIL) {
      for (int64_t e = 0; e < n * n; e++) w.L[e] = S2[e];
      factor(w.L, n);
    }
    Lanes *inverse = reinterpret_cast<Lanes *>(w.W), *sums = reinterpret_cast<Lanes *>(w.pivots);
    Lanes eta2 = inverse_norm_square<false>(w.L, scale, inverse, sums, n);
    solve<false>(w.L, w.d, n);
    zeta = 8 * nu * double(n) * eta2;
    delta = root(squares_high(w.d, n));
    if (far) {
      if (b.form1 != SCALE_TRIL) {
        for (int64_t e = 0; e < n * n; e++) w.T[e] = S1[e];
        factor(w.T, n);
      }
      Lanes mixed2 = inverse_norm_square<false>(w.T, scale, inverse, sums, n);
      for (int64_t i = 0; i < n; i++) scale[i] = root(S1[i * n + i].high);
      Lanes eta1 = inverse_norm_square<false>(w.T, scale, inverse, sums, n);
      divide_left(w.T, w.L, w.pivots, n);
      Lanes size = norm_square(w.T, n);
      for (int64_t i = 0; i < n; i++) w.T[i * n + i] = w.T[i * n + i] - wide(1);
      square_of_sum(w.T, w.X, n);
      apart = 2 * nu * double(n) * (eta1 + eta2) + 5 * nu * root(double(n) * mixed2 * size) + unsound;
      apart = apart < 0x1p-20 ? apart : every(NAN_);
      x = root(norm_square(w.X, n, 2));
      norm_n = root(norm_square(w.T, n));
      dx = 2 * nu * norm_n * (2 + norm_n) + sound_or_zero(x) + 0 * (zeta < 0x1p-20 ? zeta : every(NAN_));
      return;
    }
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = j; i < n; i++) {
        Wide difference = S1[j * n + i] - S2[j * n + i];
        S1[j * n + i] = S1[i * n + j] = difference;
      }
    divide<false>(S1, w.L, n);
    transpose(S1, w.K, n);
    divide<true>(w.K, w.L, n);
    for (int64_t e = 0; e < n * n; e++) w.X[e] = w.K[e];

    x = root(norm_square(w.X, n, 2));
    unsound += sound_or_zero(x);
    // The difference of two doubles is an exact pair; other differences have an error.
    const bool doubles = (b.form1 == VAR || b.form1 == COV) && (b.form2 == VAR || b.form2 == COV);
    const double rest = doubles ? 0 : 4 * OPERATION;
    Lanes omega = (error1 + rest) * ratio + (error2 + rest);
    dx = zeta * x + double(n) * eta2 * omega + unsound;
    dx = zeta < 0x1p-20 ? dx : every(NAN_);
  }

  // Finds T if it has not been found, and V if it is needed.
  void factors(bool inverse) {
    if (!far) {
      for (int64_t e = 0; e < n * n; e++) w.T[e] = w.X[e];
      factor_of_sum(w.T, w.pivots, n);
      norm_n = root(norm_square(w.T, n));
    }
    if (inverse) {
      inverse_of_sum(w.T, w.V, n);
      Lanes norm_v = root(norm_square(w.V, n)), *sums = reinterpret_cast<Lanes *>(w.q);
      const Wide *V = w.V;
      Norms norms = norms_of([=](int64_t i, int64_t j) { return V[j * n + i].high + (i == j ? 1 : 0); }, sums, n);
      v2 = 1.01 * norms.spectral;
      frobenius = 1.01 * norms.frobenius;
      q = 5 * nu * norm_n * (1 + norm_v);
      v2 = q < 0x1p-20 ? v2 : every(NAN_);
    } else {
      Lanes *scale = reinterpret_cast<Lanes *>(w.p), *sums = reinterpret_cast<Lanes *>(w.q);
      for (int64_t i = 0; i < n; i++) scale[i] = every(1);
      v2 = inverse_norm_square<true>(w.T, scale, reinterpret_cast<Lanes *>(w.V), sums, n);
      q = frobenius = Lanes{};
    }
    theta = far ? apart : v2 * (dx + 2 * nu * (x + norm_n * norm_n));
    theta = theta < 0x1p-20 ? theta : every(NAN_);
  }
};

struct Bounded {
  Wide value;
  Lanes error;
};
INLINE Bounded operator+(Bounded a, Bounded b) { return {a.value + b.value, a.error + b.error}; }

// The term of a mean, g^2 |y|^2, where y has been computed with the absolute error dy.
INLINE Bounded mean_term(const Common &r, Wide g, const Wide *y, Lanes dy, Lanes relative) {
  Wide value = (g * g) * squares(y, r.n);
  Lanes norm = g.high * root(squares_high(y, r.n)), moved = g.high * dy;
  return {value, value.high * (relative + r.nu) + moved * (2 * norm + moved)};
}

// A bracket: of the matrix M in K, of norm m, whose error relative to K = I + M will be theta, besides that of its factorisation;
// kappa bounds the norm of K^-1. K becomes C, with (I + C)(I + C)' = I + M.
template <bool dual>
Bounded bracket(Common &r, Lanes kappa, Lanes &theta) {
  const int64_t n = r.n;
  Wide *C = r.w.K;
  Lanes m = root(norm_square(C, n, 2));
  Wide off = factor_of_sum(C, r.w.pivots, n);
  Lanes c2 = norm_square(C, n);
  theta += 3 * r.nu * kappa * (m + c2);
  theta = theta < 0x1p-20 ? theta : every(NAN_);
  if constexpr (!dual) {
    Wide value = sum_of_kernels<G>(r.w.pivots, n) + off;
    return {value, theta * m + 1.1 * theta * theta + value.high * (KERNEL + n * r.nu)};
  } else {
    Wide *H = r.w.W;
    inverse_of_sum(C, H, n);
    Lanes h = root(norm_square(H, n));
    Lanes dh = 2 * r.nu * root(c2) * (1 + h) * (1 + h);
    off = wide(0);
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = j + 1; i < n; i++) off = plus_product(off, H[j * n + i], H[j * n + i]);
    Wide value = sum_of_kernels<Gs>(r.w.pivots, n) + off;
    Lanes error = kappa * theta * m + 1.1 * (1 + kappa) * theta * theta + dh * (2 * h + dh);
    return {value, error + value.high * (KERNEL + n * r.nu)};
  }
}

// g2 X becomes the matrix of a bracket.
void first_matrix(Reduction &r, Wide g2) {
  for (int64_t j = 0; j < r.n; j++)
    for (int64_t i = j; i < r.n; i++) r.w.K[j * r.n + i] = r.w.X[j * r.n + i] * g2;
}

// The weights of each lane.
struct WideWeights {
  Wide w1, w2, g1, g2;
};
INLINE WideWeights weights_of(Lanes alpha, bool reversed) {
  Weights w = weights(alpha, reversed);
  return {w.w1, w.w2, w.g1, w.g2};
}

INLINE Lanes first_kappa(const Reduction &r, const WideWeights &w) { return 1 / (w.g1.high + w.g2.high / r.v2); }
INLINE Lanes second_kappa(const Reduction &r, const WideWeights &w) { return 1 / (w.g2.high + w.g1.high / (1 + r.x)); }

template <bool dual>
Bounded first_bracket(Reduction &r, const WideWeights &w, Lanes &theta) {
  first_matrix(r, w.g2);
  Lanes kappa = first_kappa(r, w);
  theta = kappa * w.g2.high * r.dx + r.apart;
  return bracket<dual>(r, kappa, theta);
}

template <bool dual>
Bounded second_bracket(Reduction &r, const WideWeights &w, Lanes &theta) {
  congruence(r.w.V, w.g1, r.w.W, r.w.K, r.n);
  Lanes kappa = second_kappa(r, w), norm_v = root(norm_square(r.w.V, r.n));
  theta = 2 * r.theta + r.q + 2 * r.nu * kappa * w.g1.high * norm_v * (2 + norm_v);
  return bracket<dual>(r, kappa, theta);
}

// Twice KL(N1||G) and twice KL(N2||G). The weights of the first and of the second differ in Jeffreys' divergence.
Two<Bounded, Bounded> to_means(Reduction &r, const WideWeights &one, const WideWeights &two, bool inside, bool second) {
  const int64_t n = r.n;
  Workspace &w = r.w;
  Lanes theta;
  Bounded kl1 = first_bracket<false>(r, one, theta), kl2 = {wide(0), Lanes{}};
  Lanes d_error = r.zeta * r.delta;
  if (!second) return {kl1 + mean_term(r, one.g2, w.d, d_error, Lanes{}), kl2};
  kl2 = second_bracket<false>(r, two, theta);
  Lanes kappa = second_kappa(r, two), narrow = root(kappa);
  Lanes relative = 1.1 * theta + 4 * r.nu * narrow * root(sum_norm_square(w.K, r.n));
  for (int64_t i = 0; i < n; i++) w.p[i] = w.q[i] = w.d[i];
  if (inside) solve<true>(w.K, w.p, n);
  kl1 = kl1 + mean_term(r, one.g2, w.p, inside ? narrow * d_error : d_error, inside ? relative : Lanes{});
  multiply(w.V, w.q, n);
  multiply_transposed(w.V, w.q, n);
  solve<true>(w.K, w.q, n);
  Lanes dw = r.delta * (4 * r.nu * r.frobenius + r.v2 * (r.zeta + r.q + 1.1 * r.theta));
  return {kl1, kl2 + mean_term(r, two.g1, w.q, narrow * dw, relative)};
}

// Twice KL(G||N1) and twice KL(G||N2).
Two<Bounded, Bounded> from_means(Reduction &r, const WideWeights &weights, bool second) {
  const int64_t n = r.n;
  Workspace &w = r.w;
  Lanes theta;
  Bounded kl1 = first_bracket<true>(r, weights, theta), kl2 = {wide(0), Lanes{}};
  Lanes narrow = root(first_kappa(r, weights)), b1 = root(sum_norm_square(w.K, r.n));
  for (int64_t i = 0; i < n; i++) w.p[i] = w.d[i];
  solve<true>(w.K, w.p, n);
  Lanes y = root(squares_high(w.p, r.n));
  solve_transposed(w.K, w.p, n);
  Lanes u = root(squares_high(w.p, r.n));
  Lanes du = 2 * r.nu * b1 * u + narrow * (2 * r.nu * b1 * y + r.zeta * r.delta) + 1.1 * theta * y;
  du = narrow * du;
  kl2 = mean_term(r, weights.g1, w.p, du, 1.1 * r.apart);
  multiply_transposed(w.T, w.p, n);
  Lanes t = root(sum_norm_square(w.T, r.n));
  kl1 = kl1 + mean_term(r, weights.g2, w.p, t * (du + 2 * r.nu * u), 1.1 * r.theta);
  if (second) kl2 = kl2 + second_bracket<true>(r, weights, theta);
  return {kl1, kl2};
}

INLINE bool any(Lanes x) {
  bool found = false;
  for (int i = 0; i < LANES; i++) found |= lane(x, i) != 0;
  return found;
}

Bounded divergence(Workspace &w, const Loaded &in, bool far) {
  const Batch &batch = in.batch;
  Reduction r(w, in, far);
  Two<Bounded, Bounded> kl;
  WideWeights weights;
  if (batch.divergence == JEFFREYS) {
    WideWeights forward = weights_of(every(0), true), backward = weights_of(every(1), true);
    weights = {wide(1), wide(1), forward.g1, forward.g2};
    r.factors(true);
    kl = to_means(r, forward, backward, false, true);
  } else {
    weights = weights_of(in.entry(batch.alpha, batch.alpha_stride, 0), batch.reversed);
    const bool inside = any(weights.g1.high);
    const bool second = batch.divergence == JSG ? inside : any(weights.g1.high * weights.w2.high);
    r.factors(second);
    kl = batch.divergence == JSG ? to_means(r, weights, weights, inside, second) : from_means(r, weights, second);
  }
  Wide value = weights.w1 * kl.first.value + weights.w2 * kl.second.value;
  Lanes error = weights.w1.high * kl.first.error + weights.w2.high * kl.second.error;
  return {{0.5 * value.high, 0.5 * value.low}, 0.625 * error + 8 * OPERATION * value.high};
}

}  // namespace

#ifdef OF_MANY
#include "full_many.hpp"

extern "C" int64_t OF_MANY(const ManyBatch &batch, int64_t first, int64_t last) {
  Workspace workspace(batch.n);
  const Batch none = {};
  int64_t open = 0;
  for (int64_t start = first; start < last; start += LANES) {
    const int64_t count = last - start < LANES ? last - start : LANES;
    const Loaded in = {none, start, last, batch.n};
    Several several(workspace, batch, in);
    const Bounded found = batch.dual ? several.divergence<true>() : several.divergence<false>();
    for (int64_t i = 0; i < count; i++) {
      const double high = lane(found.value.high, i), low = lane(found.value.low, i), error = lane(found.error, i);
      if (batch.single == NOT_ROUNDED) {
        double *to = batch.values + 3 * (start + i);
        to[0] = high, to[1] = low, to[2] = error;
        continue;
      }
      double &to = batch.values[start + i];
      to = batch.single ? nearest_single(high, low, 1.01 * error) : nearest(high, low, 1.01 * error);
      open += to != to;
    }
  }
  return open;
}
#endif

extern "C" int64_t NAME(const Batch &batch, int64_t first, int64_t last, double *errors) {
  if (first == last) return 0;
  Workspace workspace(batch.n);
  int64_t open = 0;
  bool far = false;  // the method that decided the last block is tried first
  for (int64_t start = first; start < last; start += LANES) {
    const int64_t count = last - start < LANES ? last - start : LANES;
    double values[LANES];
    for (int64_t i = 0; i < count; i++) values[i] = NAN_;
    for (int trial = 0; trial < 2; trial++, far = !far) {
      Bounded found = divergence(workspace, {batch, start, last, batch.n}, far);
      int64_t left = 0;
      for (int64_t i = 0; i < count; i++) {
        const double high = lane(found.value.high, i), low = lane(found.value.low, i), error = lane(found.error, i);
        if (errors) {
          double *to = errors + 3 * (start + i);
          if (trial == 0 || !(to[2] <= error)) to[0] = high, to[1] = low, to[2] = error;
          left = 1;
        } else if (values[i] != values[i]) {
          values[i] = batch.single ? nearest_single(high, low, 1.01 * error) : nearest(high, low, 1.01 * error);
          left += values[i] != values[i];
        }
      }
      if (!left) break;
    }
    if (errors) continue;
    for (int64_t i = 0; i < count; i++) {
      open += values[i] != values[i];
      batch.values[start + i] = values[i];
    }
  }
  return open;
}
