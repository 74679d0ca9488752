#pragma once

namespace twofour::report {

/// Shows every curve's value at the nearest logged step beside the pointer. Has no "<" or "&", so
/// that a page with it stays XML.
extern const char* const kPageScript;

}  // namespace twofour::report
