// Values and gradients for tensors of Gaussians with full covariances, given by Cholesky factors, in one pass.
//
// Compiled for every instruction set, as the function NAME: each lane of a vector has another pair of Gaussians.  With
// ONE_LANE pairs are computed one by one, and the compiler makes vectors of the innermost loops, which changes no bit.
// Everything is computed in doubles.  `jsgmath/torch/full_terms.py` has the notation and the terms of the means.  Let
//
//     R R' = g1 S2 + g2 S1,   T1 = L2^-1 R,  T2 = L1^-1 R,   U1 = R^-1 L1 = T2^-1,  U2 = R^-1 L2 = T1^-1
//
// so that K = T1 T1' and K' = T2 T2'.  With r the diagonal of T for JSG, or of U for its dual, the sums over the covariances are
//
//     2 KL = sum_j (r_j^2 - 1 - log r_j^2) + the sum of the squares off the diagonal
//
// and with D = R^-1 (S1 - S2) R'^-1 the derivatives by L1, without those of the means, are the lower triangles of
//
//     w1 g2 L2'^-1 (T1 - U2') U1 + w2 g2 R'^-1 (T2' - U1) - w2 L1'^-1 (T2 T2' - I)           of JSG
//     R'^-1 ((w1 g2^2 - w2 g1 g2) D U1 + w2 (U1 - T2'))                                      of JSG*
//
// The lower triangle of a product with such an inverse depends only on the lower triangle of the other factor.  No quotient
// of the two factors L is formed, so errors grow with the condition of each factor and not with the product of both.
//
// R comes from Householder reflections that turn [A, B] into [R, 0].  If the factors are far apart, A = sqrt(g1) L2 and
// B = sqrt(g2) L1.  If they are close, with E = L1 - L2, A = L2 + g2 E and B = sqrt(g1 g2) E, which is the same up to a
// rotation.  Then R - A, R - L1 and R - L2 are computed without cancellation, and so are T - I and U - I; all vanish with
// E.  The two Gaussians are exchanged where g1 < 1/2, so that R is exact at the ends of alpha.
#include "tensors.hpp"

#include <utility>

#include "kernels.hpp"

namespace {

// A choice and a sum in the text of full_terms.py and special.py.
template <class A, class B>
INLINE Lanes where(Truth which, A a, B b) {
  Lanes first = a - Lanes{}, second = b - Lanes{};
  return which ? first : second;
}
INLINE Lanes operator+(Lanes x, Unused) { return x; }

namespace terms {
#include "full_terms.hpp"
}

struct DoubleSplit {
  INLINE_MEMBER Three<Lanes, Lanes, Lanes> operator()(Lanes x, Lanes k) const {
    Bits exponent = (bits_of(k) - SQRT_HALF + (uint64_t(1023) << 52)) >> 52;
    Lanes m = k * power_of_two(2046 - exponent);
    Truth near = exponent == 1023;
    return {near ? x : m - 1.0, m, LOG2.high * number_of(exponent)};
  }
};
struct DoubleTail {
  INLINE_MEMBER Lanes operator()(Lanes w) const { return polynomial(WHOLE_TAIL, w); }
};
// r^2 - 1 - log r^2 for r = 1 + x.
INLINE Lanes pivot_term(Lanes x, Lanes r) {
  return multiply_add(x, x, 2.0 * split_g(x, r, r, Unused{}, DoubleSplit{}, DoubleTail{}));
}

// The power of two in a positive number, if that and its inverse are normal numbers.
INLINE Lanes power_of(Lanes x) {
  Lanes above = larger(x, every(0x1p-1022));
  return lanes_of(bits_of(above > 0x1p1022 ? every(0x1p1022) : above) & 0x7ff0000000000000);
}

// Only the lower triangles of matrices are stored, by columns, unless a comment says that a matrix is whole.

// A quotient of two factors, and its diagonal minus 1.
struct Ratio {
  Lanes *matrix, *excess;
  INLINE_MEMBER Lanes operator[](int64_t place) const { return matrix[place]; }
};

struct Workspace {
  Memory<Lanes> memory;
  Lanes *L1, *L2, *R, *B, *N1, *N2, *Q, *D;  // N = R - L; Q is whole
  Ratio T1, T2, U1, U2;
  Lanes *scale, *d, *a, *dot, *white, *kappa, *p, *theta, *phi, *zeta, *s, *delta1, *delta2, *moved, *by_mean;
  Lanes *right1[3], *right2[3];
  Lanes *by1, *by2, *part;

  explicit Workspace(int64_t n) : memory(15 * n * n + 25 * n) {
    Lanes **matrices[] = {&L1, &L2, &R, &B, &N1, &N2, &Q, &D, &by1, &by2, &part,
                          &T1.matrix, &T2.matrix, &U1.matrix, &U2.matrix};
    Lanes **vectors[] = {&scale, &d, &a, &dot, &white, &kappa, &p, &theta, &phi, &zeta, &s, &delta1, &delta2, &moved, &by_mean,
                         &right1[0], &right1[1], &right1[2], &right2[0], &right2[1], &right2[2], &T1.excess, &T2.excess, &U1.excess, &U2.excess};
    Lanes *start = memory.start;
    for (Lanes **matrix : matrices) *matrix = start, start += n * n;
    for (Lanes **vector : vectors) *vector = start, start += n;
  }
};

// R, R - L1 and R - L2.
void reduce(Workspace &w, Lanes g1, Lanes g2, int64_t n) {
  Truth near = ~Truth{};
  for (int64_t i = 0; i < n; i++) {
    Lanes first = {}, second = {}, apart = {};
    for (int64_t j = 0; j <= i; j++) {
      Lanes x = w.L1[j * n + i], y = w.L2[j * n + i], e = x - y;
      first = multiply_add(x, x, first), second = multiply_add(y, y, second), apart = multiply_add(e, e, apart);
    }
    near &= (4.0 * apart <= first) & (4.0 * apart <= second);
  }
  const Lanes root1 = root(g1), root2 = root(g2), both = root1 * root2, less = g2 / (1.0 + root1);  // 1 - root1
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = j; i < n; i++) {
      Lanes x = w.L1[j * n + i], e = x - w.L2[j * n + i];
      w.B[j * n + i] = near ? both * e : root2 * x;
    }
  for (int64_t j = 0; j < n; j++) {
    const Lanes *first = w.L1 + j * n, *second = w.L2 + j * n;
    Lanes *a = w.a, *dot = w.dot, *to = w.R + j * n, *over1 = w.N1 + j * n, *over2 = w.N2 + j * n;
    for (int64_t i = j; i < n; i++) {
      a[i] = near ? multiply_add(g2, first[i] - second[i], second[i]) : root1 * second[i];
      dot[i] = Lanes{};
    }
    for (int64_t k = 0; k <= j; k++) {
      const Lanes *column = w.B + k * n, f = column[j];
      for (int64_t i = j; i < n; i++) dot[i] = multiply_add(column[i], f, dot[i]);
    }
    const Lanes norm = larger(root(multiply_add(a[j], a[j], dot[j])), a[j]), inverse = 1.0 / norm, shared = 1.0 / (a[j] + norm);
    const Lanes grown = dot[j] * shared;  // norm - a_j
    for (int64_t i = j; i < n; i++) {
      const Lanes more = i == j ? grown : multiply_add(-a[i], grown, dot[i]) * inverse, e = first[i] - second[i];
      const Lanes r = i == j ? norm : a[i] + more;
      to[i] = r;
      over1[i] = near ? multiply_add(-g1, e, more) : r - first[i];
      over2[i] = near ? multiply_add(g2, e, more) : multiply_add(-less, second[i], more);
      dot[i] = multiply_add(dot[i], shared, a[i]) * inverse;
    }
    for (int64_t k = 0; k <= j; k++) {
      Lanes *column = w.B + k * n;
      const Lanes f = column[j];
      for (int64_t i = j + 1; i < n; i++) column[i] = multiply_add(-dot[i], f, column[i]);
    }
  }
}

// by^-1 top, where `over` is `top - by` times a sign.
void quotient(const Lanes *top, const Lanes *by, const Lanes *over, double sign, Ratio to, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    const Lanes *given = top + j * n, *column = by + j * n, *rest = over + j * n;
    Lanes *x = to.matrix + j * n;
    const Lanes excess = sign * rest[j] / column[j], ratio = given[j] / column[j];
    const Truth close = excess * excess < 0.25;
    x[j] = ratio, to.excess[j] = excess;
    for (int64_t i = j + 1; i < n; i++)
      x[i] = close ? multiply_add(-excess, column[i], sign * rest[i]) : multiply_add(-ratio, column[i], given[i]);
    for (int64_t k = j + 1; k < n; k++) {
      const Lanes *before = by + k * n, f = x[k] = x[k] / before[k];
      for (int64_t i = k + 1; i < n; i++) x[i] = multiply_add(-before[i], f, x[i]);
    }
  }
}

// Half of the sum over the covariances.
Lanes trace(Ratio T, int64_t n) {
  Lanes sum = {};
  for (int64_t j = 0; j < n; j++) {
    sum += pivot_term(T.excess[j], T[j * n + j]);
    for (int64_t i = j + 1; i < n; i++) sum = multiply_add(T[j * n + i], T[j * n + i], sum);
  }
  return 0.5 * sum;
}

// L^-1 x.
void solve(const Lanes *L, const Lanes *x, Lanes *to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = x[i];
  for (int64_t j = 0; j < n; j++) {
    const Lanes *column = L + j * n, f = to[j] = to[j] / column[j];
    for (int64_t i = j + 1; i < n; i++) to[i] = multiply_add(-column[i], f, to[i]);
  }
}
// T x, and T' x.
void multiply(Ratio T, const Lanes *x, Lanes *to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = Lanes{};
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = j; i < n; i++) to[i] = multiply_add(T[j * n + i], x[j], to[i]);
}
void multiply_transposed(Ratio T, const Lanes *x, Lanes *to, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    Lanes sum = {};
    for (int64_t i = j; i < n; i++) sum = multiply_add(T[j * n + i], x[i], sum);
    to[j] = sum;
  }
}
Lanes square(const Lanes *x, int64_t n) {
  Lanes sum = {};
  for (int64_t i = 0; i < n; i++) sum = multiply_add(x[i], x[i], sum);
  return sum;
}
Lanes square(Ratio T, int64_t n) {
  Lanes sum = {};
  for (int64_t j = 0; j < n; j++) sum += square(T.matrix + j * n + j, n - j);
  return sum;
}

// Adds L'^-1 x to a vector, and the lower triangle of L'^-1 X to a matrix; x and X are changed.
void add_back(const Lanes *L, Lanes *x, Lanes *to, int64_t n) {
  for (int64_t i = n - 1; i >= 0; i--) {
    const Lanes *column = L + i * n;
    Lanes sum = x[i];
    for (int64_t k = i + 1; k < n; k++) sum = multiply_add(-column[k], x[k], sum);
    x[i] = sum / column[i];
    to[i] += x[i];
  }
}
void add_back_matrix(const Lanes *L, Lanes *X, Lanes *to, int64_t n) {
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = n - 1; i >= j; i--) {
      const Lanes *column = L + i * n;
      Lanes *x = X + j * n, sum = x[i];
      for (int64_t k = i + 1; k < n; k++) sum = multiply_add(-column[k], x[k], sum);
      x[i] = sum / column[i];
      to[j * n + i] += x[i];
    }
}

void add_outer(const Lanes *x, const Lanes *y, Lanes *to, double sign, int64_t n) {
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = j; i < n; i++) to[j * n + i] = multiply_add(x[i], sign * y[j], to[j * n + i]);
}

// T T' - I.
void gram(Ratio T, Lanes *to, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    Lanes *column = to + j * n, e = T.excess[j];
    column[j] = multiply_add(e, e, e + e);
    for (int64_t i = j + 1; i < n; i++) column[i] = T[j * n + i] * T[j * n + j];
    for (int64_t k = 0; k < j; k++) {
      const Lanes *before = T.matrix + k * n, f = before[j];
      for (int64_t i = j; i < n; i++) column[i] = multiply_add(before[i], f, column[i]);
    }
  }
}

// The whole of a symmetric matrix, and of T - U'.
void fill(const Lanes *D, Lanes *Q, int64_t n) {
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = j; i < n; i++) Q[j * n + i] = Q[i * n + j] = D[j * n + i];
}
void fill_difference(Ratio T, Ratio U, Lanes *Q, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    Q[j * n + j] = T.excess[j] - U.excess[j];
    for (int64_t i = j + 1; i < n; i++) Q[j * n + i] = T[j * n + i], Q[i * n + j] = -U[j * n + i];
  }
}
// The lower triangle of Q U, times a weight.
void times_factor(const Lanes *Q, Ratio U, Lanes weight, Lanes *to, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    Lanes *column = to + j * n;
    for (int64_t i = j; i < n; i++) column[i] = Lanes{};
    for (int64_t k = j; k < n; k++) {
      const Lanes *before = Q + k * n, f = U[j * n + k];
      for (int64_t i = j; i < n; i++) column[i] = multiply_add(before[i], f, column[i]);
    }
    for (int64_t i = j; i < n; i++) column[i] = terms::part(weight, column[i]);
  }
}
// Adds the lower triangle of T' - U times a weight.
void add_difference(Ratio T, Ratio U, Lanes weight, Lanes *to, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    to[j * n + j] += terms::part(weight, T.excess[j] - U.excess[j]);
    for (int64_t i = j + 1; i < n; i++) to[j * n + i] += terms::part(weight, -U[j * n + i]);
  }
}

// The square of the norm of T Q, for a whole Q.
Lanes product_square(Ratio T, const Lanes *Q, Lanes *column, int64_t n) {
  Lanes sum = {};
  for (int64_t j = 0; j < n; j++) {
    multiply(T, Q + j * n, column, n);
    sum += square(column, n);
  }
  return sum;
}

void clear(Lanes *x, int64_t count) {
  for (int64_t i = 0; i < count; i++) x[i] = Lanes{};
}

struct Shares {
  Lanes w1, w2, g1, g2;
};

// The derivatives of JSG by the mean and by both factors, and twice that by g2.
void gradients_to_mean(Workspace &w, Shares v, int64_t n) {
  auto [w1, w2, g1, g2] = v;
  for (int64_t i = 0; i < n; i++) {
    auto [x0, x1, y0, y1] = terms::outer_to_mean(w1, w2, g1, g2, w.kappa[i], w.p[i], w.zeta[i], w.s[i]);
    w.right2[0][i] = x0, w.right2[1][i] = x1, w.right1[0][i] = y0, w.right1[1][i] = y1;
  }
  clear(w.by_mean, n), clear(w.by1, n * n), clear(w.by2, n * n);
  for (int64_t i = 0; i < n; i++) w.moved[i] = terms::by_displacement(w1, w2, g1, g2, w.zeta[i], Lanes{});
  add_back(w.L2, w.moved, w.by_mean, n);
  for (int64_t i = 0; i < n; i++) w.moved[i] = terms::by_displacement(w1, w2, g1, g2, Lanes{}, w.s[i]);
  add_back(w.L1, w.moved, w.by_mean, n);

  auto by_factor = [&](const Lanes *L, const Lanes *other, Ratio T, Ratio T_other, Ratio U, Ratio U_other, Lanes own, Lanes others, Lanes g, Lanes *const *right, const Lanes *inner, double sign,
                       Lanes *to) {
    fill_difference(T, U_other, w.Q, n);
    times_factor(w.Q, U, own * g, w.part, n);
    add_back_matrix(other, w.part, to, n);
    clear(w.part, n * n);
    add_difference(T_other, U, others * g, w.part, n);
    add_outer(w.white, right[0], w.part, sign, n);
    add_back_matrix(w.R, w.part, to, n);
    gram(T_other, w.part, n);
    for (int64_t e = 0; e < n * n; e++) w.part[e] = terms::part(-others, w.part[e]);
    add_outer(inner, right[1], w.part, sign, n);
    add_back_matrix(L, w.part, to, n);
  };
  by_factor(w.L1, w.L2, w.T1, w.T2, w.U1, w.U2, w1, w2, g2, w.right1, w.s, 1.0, w.by1);
  by_factor(w.L2, w.L1, w.T2, w.T1, w.U2, w.U1, w2, w1, g1, w.right2, w.zeta, -1.0, w.by2);
}

// The same derivatives of JSG*; D is given.
void gradients_from_mean(Workspace &w, Shares v, int64_t n) {
  auto [w1, w2, g1, g2] = v;
  multiply_transposed(w.U1, w.theta, w.delta1, n);
  multiply_transposed(w.U1, w.phi, w.delta2, n);
  multiply_transposed(w.U2, w.theta, w.zeta, n);
  multiply_transposed(w.U2, w.phi, w.s, n);
  for (int64_t i = 0; i < n; i++) {
    auto [x0, x1, x2, y0, y1, y2] =
        terms::outer_from_mean(w1, w2, g1, g2, w.kappa[i], w.zeta[i], w.s[i], w.p[i], w.delta1[i], w.delta2[i]);
    w.right2[0][i] = x0, w.right2[1][i] = x1, w.right2[2][i] = x2;
    w.right1[0][i] = y0, w.right1[1][i] = y1, w.right1[2][i] = y2;
    w.moved[i] = terms::by_displacement(w1, w2, g1, g2, w.theta[i], w.phi[i]);
  }
  clear(w.by_mean, n), clear(w.by1, n * n), clear(w.by2, n * n);
  add_back(w.R, w.moved, w.by_mean, n);
  fill(w.D, w.Q, n);
  auto by_factor = [&](Ratio T_other, Ratio U, Lanes weight, Lanes others, Lanes *const *right, double sign, Lanes *to) {
    times_factor(w.Q, U, weight, w.part, n);
    add_difference(T_other, U, -others, w.part, n);
    const Lanes *left[] = {w.white, w.theta, w.phi};
    for (int64_t k = 0; k < 3; k++) add_outer(left[k], right[k], w.part, sign, n);
    add_back_matrix(w.R, w.part, to, n);
  };
  by_factor(w.T2, w.U1, g2 * (w1 * g2 - w2 * g1), w2, w.right1, 1.0, w.by1);
  by_factor(w.T1, w.U2, g1 * (w1 * g2 - w2 * g1), w1, w.right2, -1.0, w.by2);
}

// The pairs in the lanes; only the first `count` lanes have one.
struct Block {
  const Tensors &t;
  int64_t first, count;
  Truth exchanged;  // whether the computation exchanges N1 and N2 of the tensors

  INLINE_MEMBER int64_t row(int i) const { return first + (i < count ? i : 0); }
  INLINE_MEMBER bool turned(int i) const {
#if defined(ONE_LANE)
    return (void)i, exchanged;
#else
    return exchanged[i];
#endif
  }
};

template <class Storage>
void load(const Block &b, Workspace &w, int64_t n) {
  const Tensors &t = b.t;
  const Storage *mean1 = static_cast<const Storage *>(t.mean1), *mean2 = static_cast<const Storage *>(t.mean2);
  for (int lane = 0; lane < LANES; lane++) {
    const int64_t row = b.row(lane);
    const Storage *a = static_cast<const Storage *>(t.scale1) + row * t.scale1_stride;
    const Storage *c = static_cast<const Storage *>(t.scale2) + row * t.scale2_stride;
    const Storage *m1 = mean1 + row * t.mean1_stride, *m2 = mean2 + row * t.mean2_stride;
    if (b.turned(lane)) std::swap(a, c), std::swap(m1, m2);
    for (int64_t i = 0; i < n; i++) {
      set_lane(w.d[i], lane, double(m1[i]) - double(m2[i]));
      for (int64_t j = 0; j <= i; j++) {
        set_lane(w.L1[j * n + i], lane, a[i * n + j]);
        set_lane(w.L2[j * n + i], lane, c[i * n + j]);
      }
    }
  }
  // Each row is divided by a power of two, so that squares stay within the range.
  for (int64_t i = 0; i < n; i++) {
    Lanes largest = {};
    for (int64_t j = 0; j <= i; j++) largest = larger(larger(absolute(w.L1[j * n + i]), absolute(w.L2[j * n + i])), largest);
    w.scale[i] = 1.0 / power_of(largest);
    w.d[i] *= w.scale[i];
    for (int64_t j = 0; j <= i; j++) w.L1[j * n + i] *= w.scale[i], w.L2[j * n + i] *= w.scale[i];
  }
}

template <class Storage>
void store(const Block &b, const Workspace &w, int64_t n) {
  for (int lane_ = 0; lane_ < b.count; lane_++) {
    const bool turned = b.turned(lane_);
    Storage *by_mean = static_cast<Storage *>(b.t.by_mean1) + b.row(lane_) * n;
    Storage *by1 = static_cast<Storage *>(b.t.by_scale1) + b.row(lane_) * n * n;
    Storage *by2 = static_cast<Storage *>(b.t.by_scale2) + b.row(lane_) * n * n;
    if (turned) std::swap(by1, by2);
    for (int64_t i = 0; i < n; i++) {
      by_mean[i] = Storage(lane(w.by_mean[i], lane_) * (turned ? -1 : 1));
      for (int64_t j = 0; j <= i; j++) {
        by1[i * n + j] = Storage(lane(w.by1[j * n + i], lane_));
        by2[i * n + j] = Storage(lane(w.by2[j * n + i], lane_));
      }
      for (int64_t j = i + 1; j < n; j++) by1[i * n + j] = by2[i * n + j] = Storage(0);
    }
  }
}

template <class Storage>
void evaluate(const Tensors &t, int64_t first, int64_t last) {
  const int64_t n = t.n;
  const bool dual = t.dual;
  Workspace w(n);
  for (int64_t row = first; row < last; row += LANES) {
    Block b{t, row, last - row < LANES ? last - row : LANES, {}};
    Lanes alpha, factor;
    for (int i = 0; i < LANES; i++) {
      set_lane(alpha, i, t.alphas ? t.alphas[b.row(i) * t.alpha_stride] : t.alpha);
      set_lane(factor, i, t.factors ? double(static_cast<const Storage *>(t.factors)[b.row(i) * t.factor_stride]) : t.factor);
    }
    // After the exchange, the weight of S2 in R R' is at least 1/2.
    b.exchanged = t.reversed ? alpha < 0.5 : alpha > 0.5;
    const Lanes w1 = b.exchanged ? alpha : 1.0 - alpha, w2 = b.exchanged ? 1.0 - alpha : alpha;
    auto [g1, g2, slope] = mean_weights(w1, w2, bool(t.reversed));
    load<Storage>(b, w, n);
    reduce(w, g1, g2, n);
    quotient(w.R, w.L2, w.N2, 1, w.T1, n), quotient(w.R, w.L1, w.N1, 1, w.T2, n);
    quotient(w.L1, w.R, w.N1, -1, w.U1, n), quotient(w.L2, w.R, w.N2, -1, w.U2, n);
    solve(w.R, w.d, w.white, n), solve(w.L1, w.d, w.delta1, n), solve(w.L2, w.d, w.delta2, n);
    multiply_transposed(w.U1, w.white, w.p, n), multiply_transposed(w.U2, w.white, w.kappa, n);
    multiply(w.U1, w.p, w.theta, n), multiply(w.U2, w.kappa, w.phi, n);
    multiply(w.T1, w.theta, w.zeta, n), multiply(w.T2, w.phi, w.s, n);
    const Lanes kappa2 = square(w.kappa, n), p2 = square(w.p, n);
    const auto quotient2 = terms::quotient_errs_less(g1, g2, square(w.delta2, n), kappa2, square(w.T1, n), square(w.theta, n));
    const auto quotient1 = terms::quotient_errs_less(g2, g1, square(w.delta1, n), p2, square(w.T2, n), square(w.phi, n));
    for (int64_t i = 0; i < n; i++) {
      w.zeta[i] = terms::mean_product(quotient2, g1, g2, w.delta2[i], w.kappa[i], w.zeta[i]);
      w.s[i] = terms::mean_product(quotient1, g2, g1, w.delta1[i], w.p[i], w.s[i]);
    }
    const Lanes trace1 = trace(dual ? w.U2 : w.T1, n), trace2 = trace(dual ? w.U1 : w.T2, n);
    auto [kl1, kl2, quadratic1, quadratic2] =
        terms::kl_terms(g1, g2, kappa2, p2, square(w.zeta, n), square(w.s, n), trace1, trace2, dual);
    const Lanes value = terms::skew(w1, w2, kl1, kl2);
    if (t.values)
      for (int i = 0; i < b.count; i++) static_cast<Storage *>(t.values)[b.row(i)] = Storage(lane(value, i));

    const Shares weighted = {factor * w1, factor * w2, g1, g2};
    if (t.by_alpha || (t.by_mean1 && dual)) {
      gram(w.U1, w.D, n), gram(w.U2, w.part, n);
      for (int64_t e = 0; e < n * n; e++) w.D[e] -= w.part[e];
    }
    if (t.by_alpha) {
      fill(w.D, w.Q, n);
      Lanes by_weight;
      if (dual) {
        Lanes sum = {}, inner = {};
        for (int64_t e = 0; e < n * n; e++) sum = multiply_add(w.Q[e], w.Q[e], sum);
        multiply_transposed(w.U2, w.theta, w.moved, n);
        for (int64_t i = 0; i < n; i++) inner = multiply_add(w.kappa[i], w.moved[i], inner);
        by_weight = terms::weights_from_mean(weighted.w1, weighted.w2, g1, g2, sum, inner);
      } else {
        const Lanes XY = product_square(w.T1, w.Q, w.moved, n), back_Y = -product_square(w.T2, w.Q, w.moved, n);
        by_weight = terms::weights_to_mean(weighted.w1, weighted.w2, g1, g2, XY, back_Y, quadratic1, quadratic2);
      }
      const Lanes found = terms::by_alpha(factor, slope, kl1, kl2, by_weight);
      for (int i = 0; i < b.count; i++)
        static_cast<Storage *>(t.by_alpha)[b.row(i)] = Storage(lane(found, i) * (b.turned(i) ? -1 : 1));
    }
    if (t.by_mean1) {
      if (dual) gradients_from_mean(w, weighted, n);
      else gradients_to_mean(w, weighted, n);
      for (int64_t i = 0; i < n; i++) {
        w.by_mean[i] *= w.scale[i];
        for (int64_t j = 0; j <= i; j++) w.by1[j * n + i] *= w.scale[i], w.by2[j * n + i] *= w.scale[i];
      }
      store<Storage>(b, w, n);
    }
  }
}

}  // namespace

extern "C" int64_t NAME(const Tensors &tensors, int64_t first, int64_t last) {
  (tensors.doubles ? evaluate<double> : evaluate<float>)(tensors, first, last);
  return 0;
}
