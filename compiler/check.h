// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_CHECK_H_
#define AMO_COMPILER_CHECK_H_

#include <cstdio>
#include <cstdlib>

// AMO_CHECK: what must hold or we have a bug. Aborts with the place (and a printf-style addition); never used for what
// a user can cause.
#define AMO_CHECK(condition, ...)                                                                                 \
  do {                                                                                                            \
    if (!(condition)) {                                                                                           \
      std::fprintf(stderr, "amo: internal error, please report: %s:%d: %s ", __FILE__, __LINE__, #condition);     \
      std::fprintf(stderr, " " __VA_ARGS__);                                                                      \
      std::fputc('\n', stderr);                                                                                   \
      std::abort();                                                                                               \
    }                                                                                                             \
  } while (false)

#endif  // AMO_COMPILER_CHECK_H_
