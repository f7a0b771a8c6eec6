// Evaluates pairs of Gaussians, or of members of a family, or several Gaussians, by the library that the argument names: the shape and the numbers of a
// pair on standard input, a value on standard output, until the input ends. For processors and systems that run in an emulator.
#include <cstdio>
#include <vector>

#include "families.hpp"
#include "full.hpp"
#include "many.hpp"

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#include <windows.h>
static void *function(const char *library, const char *name) {
  return reinterpret_cast<void *>(GetProcAddress(LoadLibraryA(library), name));
}
static void binary() { _setmode(_fileno(stdin), _O_BINARY), _setmode(_fileno(stdout), _O_BINARY); }
#else
#include <dlfcn.h>
static void *function(const char *library, const char *name) {
  void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!opened) std::fprintf(stderr, "%s\n", dlerror());
  return opened ? dlsym(opened, name) : nullptr;
}
static void binary() {}
#endif

typedef int64_t Diagonal(const Shape *, const double *, const double *, const double *, const double *, const double *,
                         double *, int32_t place, int32_t threads);
typedef int64_t Full(const Shape *, const double *, const double *, const double *, const double *, const double *, double *,
                     int32_t place, int32_t threads, double *errors);

typedef int64_t Families(const FamilyShape *, const double *, const double *, const double *, const double *, const double *,
                         const double *, double *, int32_t place, int32_t threads);
typedef int64_t Many(const ManyShape *, const OneOfMany *, const double *, double *, int32_t place, int32_t threads, int32_t full);

int main(int, char **arguments) {
  Diagonal *diagonal = reinterpret_cast<Diagonal *>(function(arguments[1], "jsgmath_diagonal"));
  Full *full = reinterpret_cast<Full *>(function(arguments[1], "jsgmath_full"));
  Families *families = reinterpret_cast<Families *>(function(arguments[1], "jsgmath_families"));
  Many *many = reinterpret_cast<Many *>(function(arguments[1], "jsgmath_many"));
  if (!diagonal || !full || !families || !many) return 2;
  binary();
  // n, form1, form2, divergence, reversed, single, kind; how many numbers the arrays have.  For a family, its shape follows.
  // Of several Gaussians the arrays are forms, means, scales and weights.
  enum { DIAGONAL, FULL, FAMILY, MANY };
  int32_t head[7], sizes[4];
  while (std::fread(head, sizeof head, 1, stdin) == 1) {
    if (std::fread(sizes, sizeof sizes, 1, stdin) != 1) return 1;
    FamilyShape family;
    if (head[6] == FAMILY && std::fread(&family, sizeof family, 1, stdin) != 1) return 1;
    std::vector<double> numbers(sizes[0] + sizes[1] + sizes[2] + sizes[3] + (head[6] == FAMILY ? 2 : 1));
    if (std::fread(numbers.data(), sizeof(double), numbers.size(), stdin) != numbers.size()) return 1;
    double value, *at[5] = {numbers.data()};
    for (int i = 0; i < 4; i++) at[i + 1] = at[i] + sizes[i];
    Shape shape = {sizes[0], sizes[1], sizes[2], sizes[3], 0, 1, head[0], head[1], head[2], head[3], head[4], head[5]};
    std::vector<OneOfMany> members;
    for (int j = 0; head[6] == MANY && j < sizes[0]; j++)
      members.push_back({at[1] + j * head[0], at[2] + j * head[0], 0, 0, int64_t(at[0][j])});
    ManyShape several = {1, head[0], sizes[0], 1, head[3], head[5]};
    if (head[6] == MANY) many(&several, members.data(), at[3], &value, 0, 1, 0);
    else if (head[6] == FAMILY) families(&family, at[0], at[1], at[2], at[3], at[4], at[4] + 1, &value, 0, 1);
    else if (head[6] == FULL) full(&shape, at[0], at[1], at[2], at[3], at[4], &value, 0, 1, nullptr);
    else diagonal(&shape, at[0], at[1], at[2], at[3], at[4], &value, 0, 1);
    std::fwrite(&value, sizeof value, 1, stdout);
  }
  return 0;
}
