#pragma once

namespace twofour::report {

/// Shows beside the pointer what every curve of a chart was at the nearest logged step. Without "<"
/// and "&", so that a page that holds it stays XML.
extern const char* const kPageScript;

}  // namespace twofour::report
