#include "twofour/report/mask_pictures.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "twofour/report/chart.h"

namespace twofour::report {
namespace {

constexpr size_t kMostPictures = 5;
constexpr double kCell = 4;  // SVG units of an entry

bool is_kept(const MaskRecord& record, size_t row, size_t column) {
  return row < record.rows.size() && column < record.rows[row].size() &&
         record.rows[row][column] == '1';
}

// The entries of `now` that stay, came or went since `start`.
std::string mask_svg(const MaskRecord& start, const MaskRecord& now) {
  const size_t columns = now.rows.front().size();
  std::string svg =
      fmt::format(R"(<svg viewBox="0 0 {} {}">)", kCell * static_cast<double>(columns),
                  kCell * static_cast<double>(now.rows.size()));
  for (size_t row = 0; row < now.rows.size(); ++row) {
    for (size_t column = 0; column < columns; ++column) {
      const bool was = is_kept(start, row, column), is = is_kept(now, row, column);
      if (!was && !is) continue;
      svg += fmt::format(R"(<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>)",
                         was && is ? "stays"
                         : is      ? "came"
                                   : "went",
                         kCell * static_cast<double>(column), kCell * static_cast<double>(row),
                         kCell - 0.5, kCell - 0.5);
    }
  }
  return svg + "</svg>";
}

// Each layer is a row; a bin's opacity is the share of the layer's groups in it.
std::string histogram_svg(const MaskRecord& record) {
  constexpr double kRow = 9, kBin = 14;
  size_t bins = 1;
  for (const auto& [layer, counts] : record.histograms) bins = std::max(bins, counts.size());
  const double width = kBin * static_cast<double>(bins);
  const double height = kRow * static_cast<double>(record.histograms.size()) + 18;
  std::string svg = fmt::format(R"(<svg viewBox="0 0 {} {}">)", width, height);
  for (size_t row = 0; row < record.histograms.size(); ++row) {
    const auto& [layer, counts] = record.histograms[row];
    const double total = std::max(1.0, std::accumulate(counts.begin(), counts.end(), 0.0));
    svg += "<g><title>" + escape(layer) + "</title>";
    for (size_t bin = 0; bin < counts.size(); ++bin) {
      if (counts[bin] == 0) continue;
      svg += fmt::format(
          R"(<rect class="bin" x="{}" y="{}" width="{}" height="{}" fill-opacity="{:.3f}"/>)",
          kBin * static_cast<double>(bin), kRow * static_cast<double>(row), kBin - 1, kRow - 1,
          std::max(0.03, counts[bin] / total));
    }
    svg += "</g>";
  }
  return svg + fmt::format(R"(<text class="tick" x="0" y="{0}">0</text>)"
                           R"(<text class="tick" x="{1}" y="{0}" text-anchor="end">1</text></svg>)",
                           height - 4, width);
}

// The first and the last record and some between them.
std::vector<const MaskRecord*> some_of(const std::vector<MaskRecord>& records) {
  std::vector<const MaskRecord*> some;
  const size_t count = std::min(kMostPictures, records.size());
  for (size_t i = 0; i < count; ++i) {
    some.push_back(&records[count == 1 ? 0 : i * (records.size() - 1) / (count - 1)]);
  }
  return some;
}

std::string figure(double step, const std::string& svg) {
  return fmt::format("<figure><figcaption>step {}</figcaption>{}</figure>\n", step, svg);
}

}  // namespace

std::string mask_pictures(const RunLog& run) {
  if (run.masks.empty()) return "";
  const MaskRecord& start = run.masks.front();
  std::string html;
  if (!start.rows.empty()) {
    html += fmt::format(
        "<h2>How a mask of {} moves</h2>\n<p class=\"note\">A corner of {}: entries kept since the "
        "first picture (grey), kept now and not then (blue), kept then and not now "
        "(orange).</p><div class=\"masks\">",
        escape(run.name), escape(start.layer));
    for (const MaskRecord* record : some_of(run.masks)) {
      if (!record->rows.empty()) html += figure(record->step, mask_svg(start, *record));
    }
    html += "</div>\n";
  }
  if (start.histograms.empty()) return html;
  html += fmt::format(
      "<h2>How certain the masks of {} are</h2>\n<p class=\"note\">Each row is a layer: the share "
      "of "
      "its groups by the largest probability of their candidates, from 0 to 1.</p>"
      "<div class=\"masks\">",
      escape(run.name));
  html += figure(start.step, histogram_svg(start));
  if (run.masks.size() > 1) html += figure(run.masks.back().step, histogram_svg(run.masks.back()));
  return html + "</div>\n";
}

}  // namespace twofour::report
