// Copies numbers and checks them, in one pass over the memory.  Compiled once for every instruction set, as the function NAME.
#include "diagonal.hpp"

#include "lanes.hpp"

extern "C" int64_t NAME(const double *from, double *to, int64_t count, double smallest) {
  const double largest = 0x1.fffffffffffffp1023;
  const int64_t whole = count - count % LANES;
  Truth inside = ~Truth{};
  for (int64_t i = 0; i < whole; i += LANES) {
    Lanes x;
    std::memcpy(&x, from + i, sizeof x), std::memcpy(to + i, &x, sizeof x);
    inside &= between(x, smallest, largest);
  }
  int64_t outside = 0;
  for (int i = 0; i < LANES; i++) outside += !inside[i];
  for (int64_t i = whole; i < count; i++) to[i] = from[i], outside += !(from[i] >= smallest && from[i] <= largest);
  return outside;
}
