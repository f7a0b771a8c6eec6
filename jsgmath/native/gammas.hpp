// Gamma and Dirichlet distributions, by gamma_terms.py.
#pragma once

#include "members.hpp"

namespace {

// Whole numbers and choices in the text of gamma_terms.py.
template <int n>
INLINE Pair operator*(Whole<n>, Pair a) {
  return n == 0 ? Pair{} : a * every(n);
}
template <int n>
INLINE Pair operator+(Pair a, Whole<n>) {
  return a + every(n);
}
INLINE Pair operator+(Pair a, int n) { return a + every(n); }
template <int n>
INLINE Pair operator/(Whole<n>, Pair a) {
  return pair(n) / a;
}
INLINE Truth operator>(Pair a, int n) { return a.high > n; }
INLINE Truth operator>(Pair a, Pair b) { return a.high > b.high; }
struct Choose {
  INLINE_MEMBER Pair operator()(Truth condition, Pair a, Pair b) const {
    return {condition ? a.high : b.high, condition ? a.low : b.low};
  }
};

// g with a longer series: what is added here may cancel to a part in fifty.
struct LongTail {
  INLINE_MEMBER Pair operator()(Pair w) const {
    return polynomial<LONG_TAIL_PAIRS_COUNT - 1>(LONG_TAIL_PAIRS, w, polynomial(LONG_TAIL, w.high));
  }
};
struct FineKernel {
  INLINE_MEMBER Pair operator()(Pair x, Pair k) const { return split_g(x, k, k, Unused{}, Split{}, LongTail{}); }
};

// A number, and what another one exceeds it by.
template <class T>
struct Change {
  T value, less;
};
template <class T>
INLINE Change<T> operator+(Change<T> a, Change<T> b) {
  return {a.value + b.value, a.less + b.less};
}
template <class T>
INLINE Change<T> operator*(Change<T> a, Change<T> b) {
  return {a.value * b.value, a.less * (b.value + b.less) + a.value * b.less};
}
template <class C, class T>
INLINE Change<T> operator*(C a, Change<T> b) {
  return {a * b.value, a * b.less};
}
INLINE Lanes high(Pair x) { return x.high; }
INLINE Change<Lanes> high(Change<Pair> x) { return {x.value.high, x.less.high}; }

// What Stirling's series leaves beyond -log(x)/2: the first coefficients in pairs, then in doubles.
struct Leading {
  INLINE_MEMBER Pair operator()(int n) const { return pair(STIRLING_PAIRS[n]); }
};
struct Further {
  INLINE_MEMBER Lanes operator()(int n) const { return every(STIRLING[n]); }
};
INLINE Pair with_low(Pair a, Lanes b) { return a + b; }
INLINE Change<Pair> with_low(Change<Pair> a, Change<Lanes> b) { return {a.value + b.value, a.less + b.less}; }
template <class T>
INLINE T stirling_series(T x, T y, T one) {
  const T zero = {};
  auto [total, weighted, plain, power] = stirling(x, y, zero, zero, zero, one, STIRLING_PAIRS_COUNT, Leading{});
  auto more = stirling(high(x), high(y), high(zero), high(weighted), high(plain), high(power), STIRLING_COUNT, Further{});
  return with_low(total, more.first);
}
struct Series {
  INLINE_MEMBER Pair operator()(Pair x, Pair y) const { return stirling_series(x, y, pair(1)); }
};
struct SeriesLess {
  INLINE_MEMBER Two<Pair, Pair> operator()(Pair x, Pair y, Pair x_less, Pair y_less) const {
    Change<Pair> sum = stirling_series<Change<Pair>>({x, x_less}, {y, y_less}, {pair(1), Pair{}});
    return {sum.value, sum.less};
  }
};

// Bounds on the relative error of each of the terms that are added (verification/README.md, "Gamma and Dirichlet").
const double BOUND_TERM = 0x1p-77;
INLINE Value bounded(Pair plus, Pair minus) { return {plus - minus, BOUND_TERM * (plus.high + minus.high)}; }
INLINE Value bounded(const Weights &w, Four<Pair, Pair, Pair, Pair> kl) {
  return bounded(skew(w.w1, w.w2, kl.first, kl.third), skew(w.w1, w.w2, kl.second, kl.fourth));
}

// a b - c d for doubles, as if computed exactly and then rounded to a pair.
INLINE Pair determinant(Lanes a, Lanes b, Lanes c, Lanes d) {
  Pair first = two_product(a, b), second = two_product(c, d);
  Pair high = two_sum(first.high, -second.high), low = two_sum(first.low, -second.low), sum = two_sum(high.high, low.high);
  return two_sum(sum.high, sum.low + (high.low + low.low));
}

struct Gammas {
  template <int divergence>
  INLINE Value value(const Members &in, const Weights &w) {
    const Lanes a1 = in(0), a2 = in(2), s1 = in(1), s2 = in(3);
    Pair sound = exact(poison(moderate(a1) & moderate(a2) & moderate(s1) & moderate(s2)));
    const bool rate1 = in.batch.form1 == PLAIN, rate2 = in.batch.form2 == PLAIN;
    Pair b1 = exact(rate1 ? s1 : s2), b2 = exact(rate1 ? s2 : s1), cross;
    if (rate1 == rate2) {
      cross = determinant(a1, b2.high, a2, b1.high);
    } else {  // a rate times a scale
      b1 = two_product(s1, s2), b2 = pair(1);
      if (rate1) { Pair b = b1; b1 = b2, b2 = b; }
      Pair first = b2 * a1, second = b1 * a2;
      cross = difference(first, second);
      sound = sound + poison((absolute(cross.high) > 0x1p-20 * first.high));
    }
    Pair x = exact(a1) + sound, y = exact(a2), d = two_sum(a2, -a1);
    if constexpr (divergence == DIRECT) {
      auto [plus, minus] = gamma_term(x, y, d, b1, b2, cross, FineKernel{}, Series{}, Choose{});
      return bounded(plus, minus);
    } else if constexpr (divergence == TO_MEAN) {
      return bounded(w, gamma_to_mean(x, y, d, b1, b2, cross, w.g1, w.g2, FineKernel{}, Series{}, Choose{}));
    } else {
      return bounded(w, gamma_from_mean(x, y, d, b1, b2, cross, w.g1, w.g2, FineKernel{}, Series{}, Choose{}));
    }
  }
};

// Totals beyond LARGEST_TOTAL would magnify the errors of `cross`.
const double LARGEST_TOTAL = 0x1p48;

struct Dirichlets {
  // The sums over the components of N1, N2 and of what N2's exceed N1's by.
  struct Totals {
    Pair a1 = {}, a2 = {}, d = {};
  };
  // What a component or a total is in the distributions x and y of KL(x||y).
  struct Numbers {
    Pair x, y, d;
  };
  // KL(x||y), added up by components.
  struct Sum {
    Numbers total, largest = {pair(1), pair(1), {}};
    Pair plus = {}, minus = {}, cross_of_largest = {};
    Truth some = {};

    INLINE_MEMBER void add(Numbers of, Pair cross) {
      auto [more, less] = bregman(of.x, of.y, of.d, FineKernel{}, Series{}, Choose{});
      // If one component is nearly the total, its term nearly cancels that of the total.
      Truth is = (of.x.high + of.x.high > total.x.high) & (of.y.high + of.y.high > total.y.high) & (of.x.high > 10) & (of.y.high > 10);
      Choose choose;
      plus = plus + dirichlet_share(of.x, of.y, total.x, total.y, cross, FineKernel{}) + choose(is, Pair{}, more);
      minus = minus + choose(is, Pair{}, less);
      largest = {choose(is, of.x, largest.x), choose(is, of.y, largest.y), choose(is, of.d, largest.d)};
      cross_of_largest = choose(is, cross, cross_of_largest);
      some |= is;
    }
    INLINE_MEMBER void finish() {
      auto [less, more] = bregman(total.x, total.y, total.d, FineKernel{}, Series{}, Choose{});
      auto [more1, less1] = bregman_less(largest.x, largest.y, largest.d, total.x, total.y, total.d, cross_of_largest, FineKernel{}, SeriesLess{}, Choose{});
      Choose choose;
      plus = plus + choose(some, more1, more), minus = minus + choose(some, less1, less);
    }
  };

  template <int divergence>
  INLINE Value value(const Members &in, const Weights &w) {
    const int64_t k = in.batch.k;
    Totals total;
    Truth sound = ~Truth{};
    for (int64_t i = 0; i < k; i++) {
      Lanes a1 = in(0, i), a2 = in(2, i);
      total.a1 = total.a1 + a1, total.a2 = total.a2 + a2, total.d = total.d + two_sum(a2, -a1);
      sound &= moderate(a1) & moderate(a2);
    }
    sound &= (total.a1.high < LARGEST_TOTAL) & (total.a2.high < LARGEST_TOTAL);
    const Truth near = absolute(total.d.high) < 0.5 * total.a1.high;
    auto numbers = [&](Pair a1, Pair a2, Pair d, bool second) -> Numbers {
      if (divergence == DIRECT) return {a1, a2, d};
      Pair mean = w.g1 * a1 + w.g2 * a2, move = second ? -(w.g1 * d) : w.g2 * d, own = second ? a2 : a1;
      if (divergence == TO_MEAN) return {own, mean, move};
      return {mean, own, -move};
    };
    Sum one, two;
    one.total = numbers(total.a1, total.a2, total.d, false), two.total = numbers(total.a1, total.a2, total.d, true);
    for (int64_t i = 0; i < k; i++) {
      Lanes a1 = in(0, i), a2 = in(2, i);
      Pair d = two_sum(a2, -a1);
      // a2 A1 - a1 A2, by the differences where the totals are near.
      Pair close = total.a1 * d - total.d * a1, apart = total.a1 * a2 - total.a2 * a1;
      Pair cross = Choose{}(near, close, apart);
      if (divergence == DIRECT) {
        one.add(numbers(exact(a1), exact(a2), d, false), cross);
      } else {
        const bool to = divergence == TO_MEAN;
        one.add(numbers(exact(a1), exact(a2), d, false), to ? w.g2 * cross : -(w.g2 * cross));
        two.add(numbers(exact(a1), exact(a2), d, true), to ? -(w.g1 * cross) : w.g1 * cross);
      }
    }
    one.finish();
    if (divergence == DIRECT) return bounded(one.plus + exact(poison(sound)), one.minus);
    two.finish();
    return bounded(skew(w.w1, w.w2, one.plus, two.plus) + exact(poison(sound)), skew(w.w1, w.w2, one.minus, two.minus));
  }
};

}  // namespace
