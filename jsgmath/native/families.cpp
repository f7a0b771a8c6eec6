// Divergences of exponential families in pairs of doubles, rounded once where the bound on their error allows it.
//
// The formulas are those of terms.py.  Compiled once for every instruction set, as the function NAME.
#include "members.hpp"

namespace {

struct Exponentials {
  // Two numbers whose ratio is the rate of N2 over that of N1.
  INLINE_MEMBER static Two<Pair, Pair> rates(const Members &in) {
    const Lanes x = in(0), y = in(2);
    Pair sound = exact(poison(moderate(x) & moderate(y)));
    if (in.form1 == in.form2) return in.form1 == PLAIN ? many(exact(x) + sound, exact(y)) : many(exact(y) + sound, exact(x));
    const Pair product = two_product(x, y) + sound;
    return in.form1 == PLAIN ? many(product, pair(1)) : many(pair(1), product);
  }
  template <int divergence>
  INLINE_MEMBER static Value value(const Members &in, const Weights &w) {
    auto [x1, x2] = rates(in);
    if constexpr (divergence == DIRECT) return bounded(exponential_direct(x1, x2, Difference{}, Kernel{}));
    else if constexpr (divergence == TO_MEAN) return bounded(w, exponential_to_mean(x1, x2, w.g1, w.g2, Difference{}, Kernel{}));
    else return bounded(w, exponential_from_mean(x1, x2, w.g1, w.g2, Difference{}, Kernel{}));
  }
};

}  // namespace

extern "C" int64_t NAME(const FamilyBatch &batch, int64_t first, int64_t last) {
  static EvaluateFamily *const choices[] = {evaluated<Exponentials>};
  return choices[batch.family](batch, first, last);
}
