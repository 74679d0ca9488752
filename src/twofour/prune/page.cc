#include "twofour/prune/page.h"

#include <algorithm>
#include <cctype>
#include <map>

#include <fmt/format.h>

#include "twofour/report/chart.h"

namespace twofour::prune {
namespace {

using report::escape;

std::string error_text(const std::optional<double>& error) {
  return error ? fmt::format("{:.5f}", *error) : std::string("-");
}

// The number of a layer's block in its name and the name without it.
struct NameParts {
  int64_t block = 0;
  std::string kind;
};

NameParts parts_of_name(const std::string& name) {
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  const auto first = std::find_if(name.begin(), name.end(), is_digit);
  const auto last = std::find_if_not(first, name.end(), is_digit);
  if (first == name.end() || last == name.end()) return {0, name};
  NameParts parts;
  parts.block = std::stoll(std::string(first, last));
  parts.kind = std::string(last + 1, name.end());
  if (parts.kind.ends_with(".weight")) parts.kind.resize(parts.kind.size() - 7);
  return parts;
}

std::string chart_of_errors(const std::vector<LayerResult>& layers) {
  std::map<std::string, report::Series> by_kind;
  for (const LayerResult& layer : layers) {
    if (!layer.error) continue;
    const NameParts parts = parts_of_name(layer.name);
    const auto next = static_cast<int>(by_kind.size() % std::size(report::kColours));
    report::Series& series =
        by_kind.try_emplace(parts.kind, report::Series{parts.kind, next, {}}).first->second;
    series.points.push_back({static_cast<double>(parts.block), *layer.error});
  }
  if (by_kind.empty()) return "";
  std::vector<report::Series> series;
  for (auto& [kind, one] : by_kind) series.push_back(std::move(one));
  return report::standalone_chart("Relative error of each layer's output", "error", series,
                                  /*logarithmic=*/true, "block");
}

std::string settings_html(const nlohmann::ordered_json& record) {
  std::string html = "<h2>Settings</h2><table>";
  for (const auto& [name, value] : record.at("settings").items()) {
    html += fmt::format("<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(value.dump()));
  }
  for (const char* name : {"twofour", "model", "calibration", "threads"}) {
    html += fmt::format("<tr><td>{}</td><td>{}</td></tr>", name, escape(record.at(name).dump()));
  }
  return html + "</table>";
}

constexpr const char* kPageStyle =
    "body { font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; } "
    "table { border-collapse: collapse; } td, th { padding: 2px 12px 2px 0; text-align: left; } "
    "td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } "
    "tr { border-bottom: 1px solid #dfe3e8; }";

}  // namespace

std::string text_of(const Perplexities& perplexities) {
  const std::string before = fmt::format("{:.4f} before", perplexities.before);
  return perplexities.after ? before + fmt::format(", {:.4f} after", *perplexities.after) : before;
}

std::string table_text(const PruneSummary& summary) {
  size_t width = 5;
  for (const LayerResult& layer : summary.layers) width = std::max(width, layer.name.size());
  std::string text =
      fmt::format("{:<{}}  {:>8}  {:>12}  {:>9}\n", "layer", width, "pattern", "zeros", "error");
  for (const LayerResult& layer : summary.layers) {
    text += fmt::format("{:<{}}  {:>8}  {:>12}  {:>9}\n", layer.name, width, name_of(layer.pattern),
                        layer.zeros, error_text(layer.error));
  }
  if (summary.skipped.empty()) return text;
  text += "not pruned:\n";
  for (const SkippedLayer& layer : summary.skipped) {
    text += fmt::format("  {}: {}\n", layer.name, layer.reason);
  }
  return text;
}

std::string make_page(const PruneSummary& summary,
                      const std::optional<Perplexities>& perplexities) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<title>twofour: pruned layers</title><style>{}</style></head>\n<body><h1>Pruned layers</h1>",
      kPageStyle);
  if (perplexities) {
    html += fmt::format("<p>Perplexity on {}: {}.</p>", escape(perplexities->text),
                        text_of(*perplexities));
  }
  html += chart_of_errors(summary.layers);
  html +=
      "<h2>Layers</h2><table><tr><th>layer</th><th>pattern</th><th class=\"n\">zeros</th>"
      "<th class=\"n\">error</th></tr>";
  for (const LayerResult& layer : summary.layers) {
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
        escape(layer.name), name_of(layer.pattern), layer.zeros, error_text(layer.error));
  }
  html += "</table>";
  if (!summary.skipped.empty()) {
    html += "<h2>Not pruned</h2><table>";
    for (const SkippedLayer& layer : summary.skipped) {
      html +=
          fmt::format("<tr><td>{}</td><td>{}</td></tr>", escape(layer.name), escape(layer.reason));
    }
    html += "</table>";
  }
  return html + settings_html(summary.record) + "</body></html>\n";
}

}  // namespace twofour::prune
