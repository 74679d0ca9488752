#include "twofour/report/page.h"

#include <set>

#include <fmt/format.h>

#include "twofour/report/chart.h"
#include "twofour/report/table.h"

namespace twofour::report {
namespace {

constexpr const char* kStyle = R"(
:root { --paper: #fff; --ink: #1b1f24; --soft: #5b6470; --line: #dfe3e8; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e8eaed; --soft: #9aa4af; --line: #2f353b; }
}
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 1220px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
p.note { color: var(--soft); margin: 0 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); } th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 1.4rem; }
figure { margin: 0; break-inside: avoid; } figcaption { font-weight: 600; margin-bottom: .2rem; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--line); } .tick, .axis { fill: var(--soft); font: 11px system-ui, sans-serif; }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
pre { white-space: pre-wrap; border-left: 3px solid var(--line); padding-left: 1rem; font: inherit; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .45em; }
.legend span { margin-right: 1.4em; }
)";
std::string key(size_t run) {
  return fmt::format(R"(<span class="key" style="background:{}"></span>)",
                     kColours[run % std::size(kColours)]);
}

std::string table_html(const Table& table) {
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& title : table.header) html += "<th>" + escape(title) + "</th>";
  html += "</tr></thead><tbody>";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    html += "<tr>";
    for (size_t c = 0; c < table.rows[r].size(); ++c) {
      html += "<td>" + (c == 0 ? key(r) : "") + escape(table.rows[r][c]) + "</td>";
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div>\n";
}

std::string charts_html(const std::vector<RunLog>& runs) {
  std::string html = "<div class=\"charts\">";
  for (const ChartKind& kind : chart_kinds()) {
    const std::vector<Series> series = series_of(runs, kind.curve);
    if (series.empty()) continue;
    html += fmt::format("<figure><figcaption>{}</figcaption>{}</figure>\n", kind.title,
                        line_chart(kind.title, kind.unit, series, kind.logarithmic));
  }
  return html + "</div>\n";
}

// The settings that are not the same in all runs.
std::string differences_html(const std::vector<RunLog>& runs) {
  std::set<std::string> keys;
  for (const RunLog& run : runs) {
    for (const auto& [name, value] : run.config) keys.insert(name);
  }
  Table table{{"setting"}, {}};
  for (const RunLog& run : runs) table.header.push_back(run.name);
  for (const std::string& name : keys) {
    std::vector<std::string> row = {name};
    std::set<std::string> values;
    for (const RunLog& run : runs) {
      const auto found = run.config.find(name);
      row.push_back(found == run.config.end() ? "–" : found->second);
      values.insert(row.back());
    }
    if (values.size() > 1) table.rows.push_back(std::move(row));
  }
  if (table.rows.empty()) return "";
  std::string html =
      "<h2>What differs in the configuration</h2>\n<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& title : table.header) html += "<th>" + escape(title) + "</th>";
  html += "</tr></thead><tbody>";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const std::string& cell : row) html += "<td>" + escape(cell) + "</td>";
    html += "</tr>";
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string make_page(const std::vector<RunLog>& runs) {
  std::string style = kStyle;
  for (size_t i = 0; i < std::size(kColours); ++i) {
    style +=
        fmt::format(".curve.c{0} {{ stroke: {1}; }} .dot.c{0} {{ fill: {1}; }}\n", i, kColours[i]);
  }
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
      "<title>twofour: runs side by side</title>\n<style>" +
      style +
      "</style></head>\n<body>"
      "<h1>Runs side by side</h1>\n<p class=\"note legend\">";
  for (size_t r = 0; r < runs.size(); ++r)
    html += "<span>" + key(r) + escape(runs[r].name) + "</span>";
  html += "</p>\n" + table_html(compare(runs)) + "<h2>Curves</h2>\n" + charts_html(runs);
  html += differences_html(runs);
  for (const RunLog& run : runs) {
    if (run.samples.empty()) continue;
    html += "<h2>Text by " + escape(run.name) + "</h2>\n<pre>" + escape(run.samples) + "</pre>\n";
  }
  return html + "</body></html>\n";
}

}  // namespace twofour::report
