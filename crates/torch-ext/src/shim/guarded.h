// Converts libtorch's exceptions to error messages.

#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <string>

inline thread_local std::string last_error;

// Returns null on success, otherwise the error message, which stays valid until the next call on the same thread.
template <class F>
const char *guarded(F body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    last_error = error.what_without_backtrace();
  } catch (const std::exception &error) {
    last_error = error.what();
  } catch (...) {
    last_error = "unknown C++ exception";
  }
  return last_error.c_str();
}
