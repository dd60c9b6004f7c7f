// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_RESULT_H_
#define AMO_RUNTIME_RESULT_H_

#include <string>
#include <utility>
#include <variant>

#include "compiler/check.h"

// What can fail because of the world (files, data, machines): a value, or one message for the user that names the file,
// the field and what was expected. Lower case, no final period.
namespace amo::runtime {

struct Error {
  std::string message;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: values return as they are
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: and so do errors

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // The value; asking for it where there is none is a bug.
  T& value() {
    AMO_CHECK(ok(), "(%s)", std::get<1>(state_).message.c_str());
    return std::get<0>(state_);
  }
  const T& value() const {
    AMO_CHECK(ok(), "(%s)", std::get<1>(state_).message.c_str());
    return std::get<0>(state_);
  }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    AMO_CHECK(!ok());
    return std::get<1>(state_);
  }
  const std::string& message() const { return error().message; }

 private:
  std::variant<T, Error> state_;
};

// The value of what succeeds and has nothing to say.
struct Done {};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_RESULT_H_
