// Divergences of several full covariances from their product, for full.cpp.  verification/README.md, "Several Gaussians", has the
// method and derives the bound. In short, in units in which the first covariance is I, A_k = I + X_k = T_k T_k' and V_k = T_k^-1,
// the precision of the product is P = I + Y with Y = sum g_k (V_k'V_k - I), and the brackets are those of T_k' P T_k - I.
#pragma once

#include "many.hpp"

namespace {

const double LEAST_WEIGHT = 0x1p-120;  // or 0

// One of several, next to the first. Its numbers are those of Reduction.
struct Relative {
  Wide *C, *H, *z;  // T - I, V - I and L^-1 (m - m_0)
  Wide w, g;
  Lanes x, norm_c, v2, frobenius, theta, q, distance;  // the last one is the norm of z
};

struct Several : Common {
  const ManyBatch &batch;
  const Loaded &in;
  Memory<Wide> memory;
  Memory<Relative> members;
  Wide *first, *Y, *u;  // `first` is the first covariance
  double first_error = 0;
  Lanes zeta = {}, eta2 = {}, precise = {};  // precise: the sum of g_k / (1 + |X_k|), which bounds P from below
  Lanes errors = {}, forming = {};           // of all A_k and V_k relative to themselves, and of Y

  Several(Workspace &w, const ManyBatch &batch, const Loaded &in)
      : Common(w, 2 * double(w.n + batch.k + 16) * OPERATION), batch(batch), in(in),
        memory(2 * (batch.k + 1) * n * n + (batch.k + 1) * n), members(batch.k) {
    const int64_t square = n * n;
    Wide *start = memory.start;
    first = start, Y = start + square, start += 2 * square;
    for (int64_t k = 0; k < batch.k; k++) {
      members.start[k].C = start, members.start[k].H = start + square, members.start[k].z = start + 2 * square;
      start += 2 * square + n;
    }
    u = start;
  }

  Wide weight(int part, int64_t k) const {
    const double *high = batch.weight(part, k), *low = batch.weight(part + 1, k);
    const int64_t stride = batch.weight_rows > 1 ? 1 : 0;
    return {in.entry(high, stride, 0), in.entry(low, stride, 0)};
  }

  // Adds a covariance; the first one gives the units.
  void add(int64_t k) {
    const OneOfMany &from = batch.members[k], &one = batch.members[0];
    Relative &own = members.start[k];
    own.w = weight(0, k), own.g = weight(2, k);
    Lanes unsound = {}, ratio = {}, largest = {};
    const Truth weighty = ((own.w.high == 0) | (own.w.high >= LEAST_WEIGHT)) & ((own.g.high == 0) | (own.g.high >= LEAST_WEIGHT));
    unsound += weighty ? Lanes{} : every(NAN_);
    Wide *S = k ? w.X : first;
    const double error = in.covariance(int32_t(from.form), from.scale, from.scale_stride, S, k ? w.T : w.L);
    for (int64_t i = 0; i < n; i++) {
      const Lanes v = S[i * n + i].high;
      unsound += v > 0 ? sound_or_zero(v) : every(NAN_);
      ratio = larger(ratio, v / first[i * n + i].high);
      own.z[i] = two_sum(in.entry(from.mean, from.mean_stride, i), -in.entry(one.mean, one.mean_stride, i));
      largest = larger(largest, absolute(own.z[i].high));
    }
    unsound += sound_or_zero(largest);
    Lanes dx = {};
    if (k == 0) {
      first_error = error;
      if (from.form != SCALE_TRIL) {
        for (int64_t e = 0; e < n * n; e++) w.L[e] = first[e];
        factor(w.L, n);
      }
      Lanes *scale = reinterpret_cast<Lanes *>(w.p);
      for (int64_t i = 0; i < n; i++) scale[i] = root(first[i * n + i].high);
      eta2 = inverse_norm_square<false>(w.L, scale, reinterpret_cast<Lanes *>(w.W), reinterpret_cast<Lanes *>(w.pivots), n);
      zeta = 8 * nu * double(n) * eta2;
      zeta = zeta < 0x1p-20 ? zeta + unsound : every(NAN_);
      for (int64_t e = 0; e < n * n; e++) own.C[e] = own.H[e] = Y[e] = wide(0);
      own.x = own.norm_c = own.theta = own.q = own.distance = Lanes{};
      own.v2 = every(1), own.frobenius = every(double(n));
      precise = own.g.high;
      return;
    }
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = j; i < n; i++) S[j * n + i] = S[i * n + j] = S[j * n + i] - first[j * n + i];
    whiten(S);
    own.x = root(norm_square(S, n, 2));
    unsound += sound_or_zero(own.x);
    const bool doubles = (from.form == VAR || from.form == COV) && (one.form == VAR || one.form == COV);
    const double rest = doubles ? 0 : 4 * OPERATION;
    dx = zeta * own.x + double(n) * eta2 * ((error + rest) * ratio + (first_error + rest)) + unsound;
    solve<false>(w.L, own.z, n);
    own.distance = root(squares_high(own.z, n));

    for (int64_t e = 0; e < n * n; e++) own.C[e] = S[e];
    factor_of_sum(own.C, w.pivots, n);
    own.norm_c = root(norm_square(own.C, n));
    inverse_of_sum(own.C, own.H, n);
    const Lanes norm_h = root(norm_square(own.H, n));
    const Wide *H = own.H;
    const int64_t size = n;
    Lanes *sums = reinterpret_cast<Lanes *>(w.q);
    const Norms norms = norms_of([=](int64_t i, int64_t j) { return H[j * size + i].high + (i == j ? 1 : 0); }, sums, n);
    own.v2 = 1.01 * norms.spectral, own.frobenius = 1.01 * norms.frobenius;
    own.q = 5 * nu * own.norm_c * (1 + norm_h);
    own.theta = own.v2 * (dx + 2 * nu * (own.x + own.norm_c * own.norm_c));
    errors += own.theta + own.q;
    precise += own.g.high / (1 + own.x);
    forming += own.g.high * (4 * nu * norm_h * (2 + norm_h));
    congruence(own.H, own.g, w.W, w.K, n);
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = j; i < n; i++) Y[j * n + i] = Y[i * n + j] = Y[j * n + i] + w.K[j * n + i];
  }

  // The lower triangle of T'(I + Y) T - I in K, and a bound on what its computation errs by.
  Lanes to_bracket(const Wide *C, Lanes norm_c, Lanes norm_y) {
    Wide *B = w.W;
    for (int64_t j = 0; j < n; j++) {
      Wide *column = B + j * n;
      for (int64_t i = 0; i < n; i++) column[i] = i < j ? Y[j * n + i] : Y[j * n + i] + C[j * n + i];
      for (int64_t k = j; k < n; k++) {
        const Wide f = C[j * n + k];
        for (int64_t i = 0; i < n; i++) column[i] = plus_product(column[i], Y[k * n + i], f);
      }
    }
    Lanes size = {};
    for (int64_t e = 0; e < n * n; e++) size += square_of(B[e]);
    size = root(size);
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = j; i < n; i++) {
        Wide sum = i == j ? B[j * n + i] + C[j * n + i] : B[j * n + i];
        for (int64_t k = i; k < n; k++) sum = plus_product(sum, C[i * n + k], B[j * n + k]);
        w.K[j * n + i] = sum;
      }
    return 2 * nu * ((1 + norm_c) * (norm_c + norm_y + norm_y * norm_c) + norm_c + size + norm_c * size);
  }

  template <bool dual>
  Bounded divergence() {
    for (int64_t k = 0; k < batch.k; k++) add(k);
    const Lanes norm_y = root(norm_square(Y, n, 2)), width = 1 / precise;
    Lanes of_precision = 1.1 * errors + width * forming;
    // Besides the workspace of the brackets: X has the factor of P, less I.
    for (int64_t e = 0; e < n * n; e++) w.X[e] = Y[e];
    factor_of_sum(w.X, w.pivots, n);
    const Lanes norm_r = root(sum_norm_square(w.X, n)), c2 = norm_square(w.X, n);
    const Lanes of_factor = of_precision + width * 2 * nu * (norm_y + c2), solution = 2 * nu * root(width) * norm_r;
    Bounded sum = {wide(0), of_factor < 0x1p-20 ? Lanes{} : every(NAN_)};
    for (int64_t k = 0; k < batch.k; k++) {
      const Relative &own = members.start[k];
      const Lanes bound = own.v2 * width, other = 1 / own.g.high, kappa = bound < other ? bound : other;
      Lanes theta = own.theta + of_precision + kappa * to_bracket(own.C, own.norm_c, norm_y);
      Bounded found = bracket<dual>(*this, kappa, theta);
      found = found + mean<dual>(k, kappa, width, of_factor, solution, norm_r);
      sum = sum + Bounded{own.w * found.value, own.w.high * found.error};
    }
    return {{0.5 * sum.value.high, 0.5 * sum.value.low}, 0.625 * sum.error + double(8 + batch.k) * OPERATION * sum.value.high};
  }

  // The term of a mean.
  template <bool dual>
  Bounded mean(int64_t k, Lanes kappa, Lanes width, Lanes of_factor, Lanes solution, Lanes norm_r) {
    const Relative &own = members.start[k];
    Lanes quadratic = {}, moved = {}, rounded = {};
    for (int64_t i = 0; i < n; i++) u[i] = wide(0);
    for (int64_t j = 0; j < batch.k; j++) {
      const Relative &other = members.start[j];
      if (j == k) continue;
      for (int64_t i = 0; i < n; i++) w.p[i] = own.z[i] - other.z[i];
      const Lanes apart = zeta * (own.distance + other.distance);
      moved += other.g.high * other.v2 * apart * apart;
      rounded += other.g.high * other.frobenius * root(squares_high(w.p, n));
      multiply(other.H, w.p, n);
      quadratic += other.g.high * squares_high(w.p, n);
      multiply_transposed(other.H, w.p, n);
      for (int64_t i = 0; i < n; i++) u[i] = plus_product(u[i], w.p[i], other.g);
    }
    const Lanes error = 1.1 * (errors * root(quadratic) + root(moved) + 4 * nu * root(width) * rounded);
    solve<true>(w.X, u, n);
    if constexpr (!dual) return mean_term(*this, wide(1), u, error, 1.1 * of_factor + 2 * solution);
    const Lanes y = root(squares_high(u, n));
    solve_transposed(w.X, u, n);
    const Lanes d = root(squares_high(u, n));
    const Lanes wrong = error + y * (1.1 * of_factor + solution) + 2 * nu * norm_r * d;
    multiply(own.H, u, n);
    const Lanes to = 1.1 * root(kappa) * wrong + 2 * nu * root(own.frobenius) * d;
    return mean_term(*this, wide(1), u, to, 1.1 * (own.theta + own.q));
  }

  // A matrix becomes L^-1 A L^-T, its lower triangle.
  void whiten(Wide *A) {
    divide<false>(A, w.L, n);
    transpose(A, w.K, n);
    divide<true>(w.K, w.L, n);
    for (int64_t e = 0; e < n * n; e++) A[e] = w.K[e];
  }
};

}  // namespace
