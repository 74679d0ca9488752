#include "twofour/report/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace twofour::report {
namespace {

constexpr double kWidth = 600, kHeight = 300, kLeft = 78, kRight = 14, kTop = 12, kBottom = 48;
constexpr size_t kBuckets = 150;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

/// A scale from values to pixels with round tick marks.
class Axis {
 public:
  Axis(Range range, double first, double last, bool logarithmic)
      : logarithmic_(logarithmic && range.low > 0), first_(first), last_(last) {
    low_ = transform(range.low);
    high_ = transform(range.high);
    // A nearly constant curve is drawn flat, not magnified.
    if (high_ - low_ < 1e-4 * std::max(1e-3, std::fabs(high_))) {
      const double margin = std::max(1e-6, 0.1 * std::fabs(high_));
      low_ -= margin;
      high_ += margin;
    }
  }

  double at(double value) const {
    return first_ + (last_ - first_) * (transform(value) - low_) / (high_ - low_);
  }

  bool is_logarithmic() const { return logarithmic_; }

  /// Round values, the lowest first.
  std::vector<double> ticks() const {
    if (!logarithmic_) return even_ticks(low_, high_);
    const double decades = high_ - low_;
    std::vector<double> ticks;
    for (double power = std::floor(low_); power <= high_; ++power) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double tick = factor * std::pow(10, power);
        const bool is_wanted = factor == 1.0 || decades < 2.5;
        if (is_wanted && transform(tick) >= low_ && transform(tick) <= high_) ticks.push_back(tick);
      }
    }
    return ticks.size() >= 2 ? ticks : even_ticks(std::pow(10, low_), std::pow(10, high_));
  }

 private:
  double transform(double value) const { return logarithmic_ ? std::log10(value) : value; }
  static std::vector<double> even_ticks(double low, double high) {
    std::vector<double> ticks;
    const double step = round_step((high - low) / 5);
    for (double tick = std::ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) {
      ticks.push_back(std::fabs(tick) < step * 1e-9 ? 0.0 : tick);
    }
    return ticks;
  }
  static double round_step(double rough) {
    const double power = std::pow(10, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor * power >= rough) return factor * power;
    }
    return 10 * power;
  }

  bool logarithmic_;
  double first_, last_, low_, high_;
};

std::string label(double value) {
  const double size = std::fabs(value);
  if (size >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:g}k", value / 1e3);
  if (size != 0 && size < 1e-3) return fmt::format("{:.0e}", value);
  return fmt::format("{:.6g}", value);
}

// The lowest and highest point of each of kBuckets stretches, so that peaks stay visible.
std::vector<Point> thinned(const std::vector<Point>& points) {
  if (points.size() <= 2 * kBuckets) return points;
  std::vector<Point> kept;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    const auto first = points.begin() + static_cast<int64_t>(bucket * points.size() / kBuckets);
    const auto last =
        points.begin() + static_cast<int64_t>((bucket + 1) * points.size() / kBuckets);
    const auto [low, high] = std::minmax_element(
        first, last, [](const Point& a, const Point& b) { return a.value < b.value; });
    kept.push_back(*std::min(low, high));
    if (low != high) kept.push_back(*std::max(low, high));
  }
  return kept;
}

std::string grid(const Axis& x, const Axis& y) {
  std::string svg;
  for (const double tick : y.ticks()) {
    svg += fmt::format(R"(<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)"
                       R"(<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>)",
                       kLeft, kWidth - kRight, y.at(tick), y.at(tick), kLeft - 8, y.at(tick) + 4.5,
                       label(tick));
  }
  for (const double tick : x.ticks()) {
    svg += fmt::format(R"(<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>)",
                       x.at(tick), kHeight - kBottom + 20, label(tick));
  }
  return svg + fmt::format(R"(<line class="base" x1="{}" x2="{}" y1="{}" y2="{}"/>)", kLeft,
                           kWidth - kRight, kHeight - kBottom, kHeight - kBottom);
}

// The logged steps and values, which the page's script shows.
std::string logged(const Series& series, const std::vector<Point>& points) {
  std::string steps, values;
  for (const Point& point : points) {
    steps += fmt::format("{}{}", steps.empty() ? "" : " ", point.step);
    values += fmt::format("{}{:.6g}", values.empty() ? "" : " ", point.value);
  }
  return fmt::format(R"( data-name="{}" data-steps="{}" data-values="{}")", escape(series.name),
                     steps, values);
}

std::string curve(const Series& series, const Axis& x, const Axis& y, bool with_values,
                  const std::string& over) {
  const std::vector<Point> shown = thinned(series.points);
  std::string points;
  for (const Point& point : shown) {
    points += fmt::format("{:.1f},{:.1f} ", x.at(point.step), y.at(point.value));
  }
  const Point& last = series.points.back();
  return fmt::format(
      R"(<polyline class="curve c{}" points="{}"{}/><circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="3.5">)"
      R"(<title>{}: {:.6g} at {} {}</title></circle>)",
      series.colour, points, with_values ? logged(series, shown) : "", series.colour,
      x.at(last.step), y.at(last.value), escape(series.name), last.value, escape(over), last.step);
}

}  // namespace

std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // XML allows no control characters but these.
        out += static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t' ? c : ' ';
    }
  }
  return out;
}

const std::vector<ChartKind>& chart_kinds() {
  static const std::vector<ChartKind> kKinds = {
      {"validation", "Validation loss", "nats a token", false},
      {"loss", "Training loss", "nats a token", false},
      {"flip_rate", "Flip rate of the masks", "share of entries a step", false},
      {"zeros", "Zeros in the sparse layers", "share of weights", false},
      {"regularisation", "Reward of large kept weights", "nats", false},
      {"kappa", "κ, the logits' factor", "factor", false},
      {"tau", "τ, the temperature", "temperature", false},
      {"max_probability", "Largest probability of a group", "mean over groups", false},
      {"changed", "Masks changed since the last record", "share of groups", false},
      {"changed_from_prior", "Masks changed since the start", "share of groups", false},
      {"logit_mean", "Mean of the logits", "mean", false},
      {"logit_deviation", "Deviation of the logits", "deviation", false},
      {"kept_l2", "Size of the kept weights", "L2 norm", false},
      {"grad_norm", "Gradient norm before clipping", "norm", true},
      {"loss_scale", "Loss scale", "factor", true},
      {"lr", "Learning rate", "learning rate", false},
      {"tokens_per_second", "Speed", "tokens a second", false},
  };
  return kKinds;
}

std::vector<Series> series_of(const std::vector<RunLog>& runs, const std::string& curve) {
  std::vector<Series> series;
  for (size_t r = 0; r < runs.size(); ++r) {
    const auto found = runs[r].curves.find(curve);
    if (found == runs[r].curves.end() || found->second.empty()) continue;
    series.push_back({runs[r].name, static_cast<int>(r % std::size(kColours)), found->second});
  }
  return series;
}

std::string standalone_chart(const std::string& title, const std::string& unit,
                             const std::vector<Series>& series, bool logarithmic,
                             const std::string& over) {
  constexpr double kTitle = 28, kLine = 18, kKeyWidth = 110;
  const double legend = kLine * static_cast<double>((series.size() + 4) / 5);
  const double height = kTitle + kHeight + legend + 8;
  std::string svg = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}">)"
      "<style>.grid {{ stroke: #dfe3e8; }} .base {{ stroke: #9aa4af; }} "
      ".tick, .axis {{ fill: #5b6470; font: 13px sans-serif; }} "
      ".title {{ font: 16px sans-serif; }} .name {{ font: 13px sans-serif; }} "
      ".curve {{ fill: none; stroke-width: 1.8; stroke-linejoin: round; }} ",
      kWidth, height);
  for (size_t i = 0; i < std::size(kColours); ++i) {
    svg +=
        fmt::format(".curve.c{0} {{ stroke: {1}; }} .dot.c{0} {{ fill: {1}; }} ", i, kColours[i]);
  }
  svg += fmt::format(
      R"(</style><rect width="{}" height="{}" fill="#fff"/><text class="title" x="{}" y="19">{}</text>)",
      kWidth, height, kLeft, escape(title));
  svg += fmt::format(R"(<svg y="{}" width="{}" height="{}">)", kTitle, kWidth, kHeight) +
         line_chart(title, unit, series, logarithmic, /*with_values=*/false, over) + "</svg>";
  for (size_t i = 0; i < series.size(); ++i) {
    const double x = 14 + kKeyWidth * static_cast<double>(i % 5);
    const double y = kTitle + kHeight + kLine * static_cast<double>(i / 5) + 12;
    svg += fmt::format(
        R"(<circle class="dot c{}" cx="{}" cy="{}" r="5"/><text class="name" x="{}" y="{}">{}</text>)",
        series[i].colour, x, y - 4, x + 10, y, escape(series[i].name));
  }
  return svg + "</svg>\n";
}

std::string line_chart(const std::string& title, const std::string& unit,
                       const std::vector<Series>& series, bool logarithmic, bool with_values,
                       const std::string& over) {
  Range steps, values;
  for (const Series& one : series) {
    for (const Point& point : one.points) {
      steps.add(point.step);
      values.add(point.value);
    }
  }
  const Axis x(steps, kLeft, kWidth - kRight, false);
  const Axis y(values, kHeight - kBottom, kTop, logarithmic);
  std::string svg = fmt::format(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">)", kWidth,
                                kHeight, escape(title));
  svg += grid(x, y);
  if (with_values) {
    svg += fmt::format(R"(<line class="guide" y1="{}" y2="{}"/>)", kTop, kHeight - kBottom);
  }
  for (const Series& one : series) svg += curve(one, x, y, with_values, over);
  svg += fmt::format(R"(<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>)",
                     kWidth - kRight, kHeight - 6, escape(over));
  svg += fmt::format(
      R"svg(<text class="axis" transform="translate(16 {}) rotate(-90)" text-anchor="middle">{}{}</text></svg>)svg",
      (kHeight - kBottom + kTop) / 2, escape(unit), y.is_logarithmic() ? " (log scale)" : "");
  return svg;
}

}  // namespace twofour::report
