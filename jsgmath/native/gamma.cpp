// Divergences of gamma and Dirichlet distributions in pairs of doubles, rounded once where the bound on their error allows it.
//
// The formulas are those of gamma_terms.py.  Compiled once for every instruction set, as the function NAME.
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

// g with a longer series, because cancellation may leave only a fiftieth of the sums here.
struct FineTail {
  INLINE_MEMBER Pair operator()(Pair w) const {
    return polynomial<FINE_TAIL_PAIRS_COUNT - 1>(FINE_TAIL_PAIRS, w, polynomial(FINE_TAIL, w.high));
  }
};
struct FineKernel {
  INLINE_MEMBER Pair operator()(Pair x, Pair k) const { return split_g(x, k, k, Unused{}, Split{}, FineTail{}); }
};

// A number, and another number minus it.
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

// Stirling's series without -log(x)/2: the first coefficients in pairs, then in doubles.
struct Leading {
  INLINE_MEMBER Pair operator()(int n) const { return pair(STIRLING_PAIRS[STIRLING_PAIRS_COUNT - 1 - n]); }
};
struct Further {
  INLINE_MEMBER Lanes operator()(int n) const { return every(STIRLING[STIRLING_COUNT - 1 - n]); }
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

// B_phi(y:x), and B_phi(y:x) minus that of the totals, as `plus, minus`.  They are compiled once.
struct Bregman {
  NOINLINE static Two<Pair, Pair> of(const Pair &x, const Pair &y, const Pair &d) {
    return bregman_terms(x, y, d, FineKernel{}, Series{}, Choose{});
  }
  INLINE_MEMBER Two<Pair, Pair> operator()(Pair x, Pair y, Pair d) const { return of(x, y, d); }
};
struct BregmanLess {
  template <class... Pairs>
  NOINLINE static Two<Pair, Pair> of(const Pairs &...numbers) {
    return bregman_less_terms(numbers..., FineKernel{}, SeriesLess{}, Choose{});
  }
  template <class... Pairs>
  INLINE_MEMBER Two<Pair, Pair> operator()(Pairs... numbers) const {
    return of(numbers...);
  }
};

// A bound on the error of every term that is added, relative to it (verification/README.md, "Gamma and Dirichlet").
const double BOUND_TERM = 0x1p-77;
INLINE Pair normal(Pair a) { return fast_two_sum(a.high, a.low); }
INLINE Value bounded(Pair plus, Pair minus) { return {normal(plus - minus), BOUND_TERM * (plus.high + minus.high)}; }
INLINE Value bounded(const Weights &w, Four<Pair, Pair, Pair, Pair> kl) {
  return bounded(skew(w.w1, w.w2, kl.first, kl.third), skew(w.w1, w.w2, kl.second, kl.fourth));
}

// a b - c d, of doubles, accurate even if nearly all of it cancels.
INLINE Pair determinant(Lanes a, Lanes b, Lanes c, Lanes d) {
  Pair first = two_product(a, b), second = two_product(c, d);
  Pair high = two_sum(first.high, -second.high), low = two_sum(first.low, -second.low), sum = two_sum(high.high, low.high);
  return two_sum(sum.high, sum.low + (high.low + low.low));
}

struct Gammas {
  // By shapes, and rates or scales.
  template <int divergence>
  INLINE_MEMBER static Value value(const Members &in, const Weights &w) {
    const Lanes a1 = in(0), s1 = in(1), a2 = in(2), s2 = in(3);
    const bool rate1 = in.form1 == PLAIN, rate2 = in.form2 == PLAIN;
    Truth sound = moderate(a1) & moderate(s1) & moderate(a2) & moderate(s2);
    Pair b1, b2, cross;  // rates, both multiplied by one number
    if (rate1 == rate2) {
      b1 = exact(rate1 ? s1 : s2), b2 = exact(rate1 ? s2 : s1);
      cross = determinant(a1, b2.high, a2, b1.high);
    } else {
      const Pair product = two_product(s1, s2);
      b1 = rate1 ? product : pair(1), b2 = rate1 ? pair(1) : product;
      const Pair first = b2 * a1;
      cross = difference(first, b1 * a2);
      sound &= absolute(cross.high) > 0x1p-20 * first.high;
    }
    const Pair x = exact(a1 + poison(sound)), y = exact(a2), d = two_sum(a2, -a1);
    const FineKernel g;
    if constexpr (divergence == DIRECT) {
      auto [plus, minus] = gamma_term(x, y, d, b1, b2, cross, g, Bregman{});
      return bounded(plus, minus);
    } else if constexpr (divergence == TO_MEAN) {
      return bounded(w, gamma_to_mean(x, y, d, b1, b2, cross, w.g1, w.g2, g, Bregman{}));
    } else {
      return bounded(w, gamma_from_mean(x, y, d, b1, b2, cross, w.g1, w.g2, g, Bregman{}));
    }
  }
};

struct Dirichlets {
  // A component, or the total, of the two distributions of KL(x||y), and y - x.
  struct Numbers {
    Pair x, y, d;
  };
  // KL(x||y), added up by components.
  struct Sum {
    Numbers total, largest = {pair(1), pair(1), {}}, others = {};
    Pair plus = {}, minus = {};
    Truth some = {};

    INLINE_MEMBER void add(Numbers of, Pair cross) {
      auto [is, more, less] = dirichlet_component(of.x, of.y, of.d, total.x, total.y, cross, FineKernel{}, Bregman{}, Choose{});
      const Choose choose;
      plus = normal(plus + more), minus = normal(minus + less), some |= is;
      largest = {choose(is, of.x, largest.x), choose(is, of.y, largest.y), choose(is, of.d, largest.d)};
      others = {normal(others.x + choose(is, Pair{}, of.x)), normal(others.y + choose(is, Pair{}, of.y)),
                normal(others.d + choose(is, Pair{}, of.d))};
    }
    INLINE_MEMBER void finish() {
      auto [more, less] = dirichlet_total(some, largest.x, largest.y, largest.d, others.x, others.y, others.d, total.x, total.y,
                                          total.d, Difference{}, FineKernel{}, Bregman{}, BregmanLess{}, Choose{});
      plus = plus + more, minus = minus + less;
    }
  };
  // The two distributions of each divergence.
  template <int divergence>
  INLINE_MEMBER static Numbers numbers(const Weights &w, Pair own, Pair a1, Pair a2, Pair move) {
    if constexpr (divergence == DIRECT) return {a1, a2, move};
    const Pair mean = w.g1 * a1 + w.g2 * a2;
    if constexpr (divergence == TO_MEAN) return {own, mean, move};
    else return {mean, own, -move};
  }

  template <int divergence>
  INLINE_MEMBER static Value value(const Members &in, const Weights &w) {
    const int64_t k = in.k;
    Pair total1 = {}, total2 = {}, total_d = {};
    Truth sound = ~Truth{};
    for (int64_t i = 0; i < k; i++) {
      const Lanes a1 = in(0, i), a2 = in(2, i);
      total1 = normal(total1 + a1), total2 = normal(total2 + a2), total_d = normal(total_d + two_sum(a2, -a1));
      sound &= moderate(a1) & moderate(a2);
    }
    const Truth near = absolute(total_d.high) < 0.5 * total1.high;
    const Pair g1 = w.g1, g2 = divergence == DIRECT ? pair(1) : w.g2;
    Sum one, two;
    one.total = numbers<divergence>(w, total1, total1, total2, g2 * total_d);
    two.total = numbers<divergence>(w, total2, total1, total2, -(g1 * total_d));
    for (int64_t i = 0; i < k; i++) {
      const Lanes a1 = in(0, i), a2 = in(2, i);
      const Pair x = exact(a1), y = exact(a2), d = two_sum(a2, -a1);
      const Pair cross = dirichlet_cross(near, x, y, d, total1, total2, total_d, Difference{}, Choose{}), cross1 = g2 * cross, cross2 = g1 * cross;
      one.add(numbers<divergence>(w, x, x, y, g2 * d), divergence == FROM_MEAN ? -cross1 : cross1);
      if constexpr (divergence != DIRECT) two.add(numbers<divergence>(w, y, x, y, -(g1 * d)), divergence == FROM_MEAN ? cross2 : -cross2);
    }
    one.finish();
    if constexpr (divergence != DIRECT) {
      two.finish();
      one.plus = skew(w.w1, w.w2, one.plus, two.plus), one.minus = skew(w.w1, w.w2, one.minus, two.minus);
    }
    // The error of `cross` is multiplied by the root of the total.
    const Lanes of_sum = double(k) * (0x1p-93 + 0x1p-95 * root(larger(total1.high, total2.high)));
    Value found = bounded(one.plus + exact(poison(sound)), one.minus);
    found.error += of_sum * (one.plus.high + one.minus.high);
    return found;
  }
};

}  // namespace

extern "C" int64_t NAME(const FamilyBatch &batch, int64_t first, int64_t last) {
  return batch.family == GAMMA ? of_kind<Gammas>(batch, first, last) : of_kind<Dirichlets>(batch, first, last);
}
