// The result of pruning as text and as an HTML page.
#pragma once

#include <optional>
#include <string>

#include "twofour/prune/prune.h"

namespace twofour::prune {

/// Perplexity on a text before and after.
struct Perplexities {
  std::string text;  ///< its file
  double before = 0;
  std::optional<double> after;  ///< none if the weights were left as they are
};

/// "7.4162 before, 22.8309 after".
std::string text_of(const Perplexities& perplexities);

/// A line for every pruned layer and every layer that was not, with the reason.
std::string table_text(const PruneSummary& summary);

/// A self-contained page: settings, a chart of the layers' errors over the blocks, the table.
std::string make_page(const PruneSummary& summary, const std::optional<Perplexities>& perplexities);

}  // namespace twofour::prune
