// SPDX-License-Identifier: Apache-2.0
// Names of the kinds of values.
#include "lang/ast.h"

namespace amo::lang {

std::string_view NameOf(ValueKind kind) {
  switch (kind) {
    case ValueKind::kConst:
      return "const";
    case ValueKind::kData:
      return "data";
    case ValueKind::kParameter:
      return "parameter";
    case ValueKind::kHidden:
      return "hidden";
    case ValueKind::kContext:
      return "context";
    case ValueKind::kVariable:
      return "variable";
    case ValueKind::kRandom:
      return "random";
  }
  return "";
}

std::string_view NameOf(ValueDecl::Origin origin) {
  switch (origin) {
    case ValueDecl::Origin::kNone:
      return "";
    case ValueDecl::Origin::kComputed:
      return "computed";
    case ValueDecl::Origin::kDrawn:
      return "drawn";
    case ValueDecl::Origin::kRead:
      return "read";
  }
  return "";
}

}  // namespace amo::lang
