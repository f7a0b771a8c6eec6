// Numbers of twice the precision of a double: an unevaluated sum of two doubles, computed with + - * / only.
//
// A pair's low part is at most some hundred units of the last place of its high part.  To make it less than one unit after
// every operation would double the work.  The relative error of an operation is then below 2^-85
// (verification/README.md, "Pairs of doubles"); the compiler must not contract or reorder, so -ffp-contract=off.
#pragma once

#include "lanes.hpp"

namespace {

struct Pair {
  Lanes high, low;
};
struct Constant {
  double high, low;
};
INLINE Pair pair(double x) { return {every(x), Lanes{}}; }
INLINE Pair pair(Constant x) { return {every(x.high), every(x.low)}; }

// a + b exactly [Knuth].
INLINE Pair two_sum(Lanes a, Lanes b) {
  Lanes sum = a + b, part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}

// a + b exactly, if |a| >= |b| or a is 0 [Dekker].
INLINE Pair fast_two_sum(Lanes a, Lanes b) {
  Lanes sum = a + b;
  return {sum, b - (sum - a)};
}

// a * b exactly.
INLINE Pair two_product(Lanes a, Lanes b) {
  Lanes product = a * b;
#if defined(__FMA__) || defined(__aarch64__)
  return {product, multiply_add(a, b, -product)};
#else
  const double splitter = 134217729.0;  // 2^27 + 1: halves of 26 bits, whose products are exact [Veltkamp, Dekker]
  Lanes wide_a = splitter * a, high_a = wide_a - (wide_a - a), low_a = a - high_a;
  Lanes wide_b = splitter * b, high_b = wide_b - (wide_b - b), low_b = b - high_b;
  return {product, ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b};
#endif
}

// a - q b for a quotient q; only the result is rounded.
INLINE Lanes remainder(Lanes a, Lanes q, Lanes b) {
#if defined(__FMA__) || defined(__aarch64__)
  return multiply_add(-q, b, a);
#else
  Pair product = two_product(q, b);
  return (a - product.high) - product.low;
#endif
}

INLINE Pair operator-(Pair a) { return {-a.high, -a.low}; }

INLINE Pair operator+(Pair a, Pair b) {
  Pair sum = two_sum(a.high, b.high);
  return {sum.high, sum.low + (a.low + b.low)};
}
INLINE Pair operator+(Pair a, Lanes b) {
  Pair sum = two_sum(a.high, b);
  return {sum.high, sum.low + a.low};
}
INLINE Pair operator-(Pair a, Pair b) { return a + -b; }

// The sum of the lanes, in the first of them, of a pair or of a type made from it.
template <class TwoParts>
TwoParts across(TwoParts x) {
  TwoParts sum = x;
  for (int i = 1; i < LANES; i++) sum = sum + TwoParts{every(lane(x.high, i)), every(lane(x.low, i))};
  return sum;
}
INLINE Lanes across(Lanes x) {
  Lanes sum = x;
  for (int i = 1; i < LANES; i++) sum += every(lane(x, i));
  return sum;
}

INLINE Pair operator*(Pair a, Pair b) {
  Pair product = two_product(a.high, b.high);
  return {product.high, multiply_add(a.low, b.high, multiply_add(a.high, b.low, product.low))};
}
INLINE Pair operator*(Pair a, Lanes b) {
  Pair product = two_product(a.high, b);
  return {product.high, multiply_add(a.low, b, product.low)};
}

INLINE Pair operator/(Pair a, Pair b) {
  Lanes inverse = 1.0 / b.high, quotient = a.high * inverse;
  Lanes rest = remainder(a.high, quotient, b.high) + a.low;
  return {quotient, multiply_add(-quotient, b.low, rest) * inverse};
}
INLINE Pair operator/(Pair a, Lanes b) {
  Lanes inverse = 1.0 / b, quotient = a.high * inverse;
  return {quotient, (remainder(a.high, quotient, b) + a.low) * inverse};
}
INLINE Pair operator/(double a, Pair b) { return pair(a) / b; }
INLINE Pair quotient(Lanes a, Lanes b) {
  Lanes inverse = 1.0 / b, quotient = a * inverse;
  return {quotient, remainder(a, quotient, b) * inverse};
}
INLINE Pair quotient(Pair a, Pair b) { return a / b; }
INLINE Pair exact_difference(Lanes a, Lanes b) { return two_sum(a, -b); }
INLINE Pair exact_difference(Pair a, Pair b) { return a - b; }

// a - b with one rounding, even if most of it cancels. Both numbers are exact, and one of them is a double.
INLINE Pair difference(Pair a, Pair b) {
  Pair high = two_sum(a.high, -b.high);
  return two_sum(high.high, high.low + (a.low - b.low));
}

// A whole number in the text of a formula.  Only halves, which are exact, are needed so far.
template <int value>
struct Whole {};
template <int value>
constexpr Whole<value> whole{};
INLINE Pair operator/(Pair a, Whole<2>) { return {0.5 * a.high, 0.5 * a.low}; }

// A square root that is never computed: the formula squares each displacement in the end.
struct Root {
  Pair square;
};
struct Multiple {
  Pair factor, square;
};
INLINE Multiple operator*(Pair factor, Root root) { return {factor, root.square}; }
INLINE Pair operator*(Multiple a, Multiple b) { return (a.factor * b.factor) * a.square; }

// The result of a function of the formula that returns more than one number.
template <class A, class B>
struct Two {
  A first;
  B second;
};
template <class A, class B, class C>
struct Three {
  A first;
  B second;
  C third;
};
template <class A, class B, class C, class D>
struct Four {
  A first;
  B second;
  C third;
  D fourth;
};
template <class A, class B, class C, class D, class E>
struct Five {
  A first;
  B second;
  C third;
  D fourth;
  E fifth;
};
template <class A, class B, class C, class D, class E, class F>
struct Six {
  A first;
  B second;
  C third;
  D fourth;
  E fifth;
  F sixth;
};
template <class A, class B>
INLINE Two<A, B> many(A a, B b) {
  return {a, b};
}
template <class A, class B, class C>
INLINE Three<A, B, C> many(A a, B b, C c) {
  return {a, b, c};
}
template <class A, class B, class C, class D>
INLINE Four<A, B, C, D> many(A a, B b, C c, D d) {
  return {a, b, c, d};
}
template <class A, class B, class C, class D, class E>
INLINE Five<A, B, C, D, E> many(A a, B b, C c, D d, E e) {
  return {a, b, c, d, e};
}
template <class A, class B, class C, class D, class E, class F>
INLINE Six<A, B, C, D, E, F> many(A a, B b, C c, D d, E e, F f) {
  return {a, b, c, d, e, f};
}

}  // namespace
