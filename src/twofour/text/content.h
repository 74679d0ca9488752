// The kind of an input: text, or documents in JSON.
#pragma once

#include <string>

#include "twofour/text/input.h"

namespace twofour::text {

enum class ContentKind {
  kText,
  kJsonLines,  ///< a document a line
  kJson,       ///< one array of documents, or one document, over any lines
};

struct Content {
  ContentKind kind = ContentKind::kText;
  /// One line for the user, the same for all inputs decided alike: what was decided where the name
  /// alone does not say it; empty where it does.
  std::string decision;
};

/// "auto" decides by the content, "text", "jsonl" and "json" say it. JSON is what begins with an
/// object that has a string in `field`, or with an array of such; a name that ends in .json, .jsonl
/// or .ndjson (before .gz and .zst) makes everything JSON, so that what is wrong there is an error
/// and not taken as text. Throws Error (usage) for another format.
Content content_of(Input& input, const std::string& format, const std::string& field);

}  // namespace twofour::text
