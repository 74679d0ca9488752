#include "twofour/report/page.h"

#include <set>

#include <fmt/format.h>

#include "twofour/report/chart.h"
#include "twofour/report/mask_pictures.h"
#include "twofour/report/page_script.h"
#include "twofour/report/table.h"

namespace twofour::report {
namespace {

constexpr const char* kStyle = R"(
:root { --paper: #fff; --card: #fff; --ink: #1b1f24; --soft: #57606a; --line: #e3e7ec; --edge: #d5dae1;
  color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --card: #1a1e22; --ink: #e8eaed; --soft: #a0a9b3; --line: #2a3036; --edge: #333a41; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.2rem 1.5rem 4rem; max-width: 1280px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; font-weight: 650; margin: 0 0 .3rem; }
h2 { font-size: 1.1rem; font-weight: 650; margin: 2.4rem 0 .7rem; }
p.note { color: var(--soft); margin: 0 0 1.1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .45rem .8rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; } tbody tr:hover { background: var(--line); }
th { font-weight: 600; font-size: .85rem; color: var(--soft); }
th:first-child, td:first-child, .runs :nth-child(2) { text-align: left; }
.scroll { overflow-x: auto; border: 1px solid var(--edge); border-radius: 8px; background: var(--card); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 1.1rem; }
figure { margin: 0; padding: .9rem 1rem .5rem; position: relative; break-inside: avoid;
  border: 1px solid var(--edge); border-radius: 8px; background: var(--card); }
figcaption { font-weight: 600; margin-bottom: .4rem; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--line); } .base { stroke: var(--soft); stroke-opacity: .6; }
.guide { stroke: var(--soft); stroke-dasharray: 3 3; visibility: hidden; }
.tick, .axis { fill: var(--soft); font: 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.curve { fill: none; stroke-width: 1.9; stroke-linejoin: round; }
.tip { position: absolute; pointer-events: none; visibility: hidden; padding: .35rem .6rem; border-radius: 6px;
  background: var(--card); border: 1px solid var(--edge); box-shadow: 0 2px 8px rgba(0, 0, 0, .15);
  font-size: 13px; line-height: 1.45; font-variant-numeric: tabular-nums; white-space: nowrap; z-index: 1; }
.tip b { font-weight: 600; }
pre { white-space: pre-wrap; border: 1px solid var(--edge); border-radius: 8px; background: var(--card);
  padding: .9rem 1.1rem; font: inherit; margin: 0; }
.masks { display: flex; flex-wrap: wrap; gap: 1.1rem; } .masks figure { flex: 0 1 300px; }
.stays { fill: var(--soft); fill-opacity: .55; } .came { fill: #0072b2; } .went { fill: #d55e00; fill-opacity: .35; }
.bin { fill: #0072b2; }
.key { display: inline-block; width: .75em; height: .75em; border-radius: 50%; margin-right: .45em; }
.legend > span { margin-right: 1.4em; }
)";

std::string key(size_t run) {
  return fmt::format(R"(<span class="key" style="background:{}"></span>)",
                     kColours[run % std::size(kColours)]);
}

enum class FirstColumn { kRuns, kOther };

std::string table_html(const Table& table, FirstColumn first) {
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& title : table.header) html += "<th>" + escape(title) + "</th>";
  html += "</tr></thead><tbody>";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    html += "<tr>";
    for (size_t c = 0; c < table.rows[r].size(); ++c) {
      const bool has_key = c == 0 && first == FirstColumn::kRuns;
      html += "<td>" + (has_key ? key(r) : "") + escape(table.rows[r][c]) + "</td>";
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
                        line_chart(kind.title, kind.unit, series, kind.logarithmic,
                                   /*with_values=*/true));
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
  return "<h2>What differs in the configuration</h2>\n" + table_html(table, FirstColumn::kOther);
}

// The time of the runs by parts of a step.
std::string parts_html(const std::vector<RunLog>& runs) {
  const Table parts = compare_parts(runs);
  if (parts.rows.empty()) return "";
  return "<h2>Where the time of a step goes</h2>\n" + table_html(parts, FirstColumn::kOther);
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
  html += "</p>\n" + table_html(compare(runs), FirstColumn::kRuns);
  html += "<h2>Curves</h2>\n" + charts_html(runs) + parts_html(runs) + differences_html(runs);
  for (const RunLog& run : runs) html += mask_pictures(run);
  for (const RunLog& run : runs) {
    if (run.samples.empty()) continue;
    html += "<h2>Text by " + escape(run.name) + "</h2>\n<pre>" + escape(run.samples) + "</pre>\n";
  }
  return html + "<script>" + kPageScript + "</script></body></html>\n";
}

}  // namespace twofour::report
