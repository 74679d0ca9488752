#include "twofour/train/metrics.h"

#include <cerrno>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"

namespace twofour::train {

std::string short_count(double count) {
  if (count >= 1e6) return fmt::format("{:.2f}M", count / 1e6);
  if (count >= 1e4) return fmt::format("{:.1f}k", count / 1e3);
  return fmt::format("{:.0f}", count);
}

namespace {

using Json = nlohmann::ordered_json;

// A killed run may have left an incomplete line, so the next text starts a new one.
void end_last_line(const std::filesystem::path& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary | std::ios::ate);
  if (!file || file.tellg() == std::streampos(0)) return;
  file.seekg(-1, std::ios::end);
  if (file.get() != '\n') {
    file.seekp(0, std::ios::end);
    file.put('\n');
  }
}

}  // namespace

Metrics::Metrics(const std::filesystem::path& run, const RunDescription& description, bool quiet)
    : description_(description),
      quiet_(quiet),
      log_path_(run / "log.jsonl"),
      events_(run, description.first_step),
      bar_("training", static_cast<uint64_t>(description.steps)) {
  end_last_line(log_path_);
  log_.open(log_path_, std::ios::app);
  bar_.start_at(static_cast<uint64_t>(description.first_step));
  write_line(Json{{"event", "start"},
                  {"time", unix_time()},
                  {"step", description.first_step},
                  {"method", description.method},
                  {"dtype", description.dtype},
                  {"parameters", description.parameters},
                  {"steps", description.steps},
                  {"tokens_per_step", description.tokens_per_step},
                  {"threads", description.threads}}
                 .dump());
}

void Metrics::record_step(const StepMetrics& metrics) {
  const double time = unix_time();
  Json line = {{"event", "step"}, {"step", metrics.step}, {"time", time}};
  for (const Metric& metric : metrics.values) {
    Json& place = metric.group.empty() ? line : line[metric.group];
    place[metric.name] = !metric.text.empty() ? Json(metric.text)
                         : metric.value       ? Json(*metric.value)
                                              : Json();
  }
  write_line(line.dump());
  for (const Metric& metric : metrics.values) {
    if (metric.value && !metric.tag.empty()) {
      events_.scalar(metric.tag, metrics.step, *metric.value, time);
    }
  }
  events_.flush();
  print_step(metrics);
}

// log.jsonl is the record, so a closed terminal must not end a run.
void Metrics::print(const std::string& line) {
  if (quiet_) return;
  ProgressBar::clear_line();
  errno = 0;
  if (std::fputs(line.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    output_error_ = system_message(errno);
  }
}

std::string Metrics::step_label(int64_t step) const {
  return fmt::format("step {:>{}}/{}", step, fmt::formatted_size("{}", description_.steps),
                     description_.steps);
}

void Metrics::print_step(const StepMetrics& metrics) {
  std::string line = step_label(metrics.step);
  for (const Metric& metric : metrics.values) {
    if (!metric.shown.empty()) line += "  " + metric.shown;
  }
  print(line + "\n");
}

void Metrics::record_validation(int64_t step, double loss) {
  const double time = unix_time();
  write_line(Json{{"event", "validation"},
                  {"step", step},
                  {"time", time},
                  {"loss", loss},
                  {"perplexity", std::exp(loss)}}
                 .dump());
  events_.scalar("loss/validation", step, loss, time);
  events_.flush();
  print(fmt::format("{}  validation loss {:.4f}  perplexity {:.2f}\n", step_label(step), loss,
                    std::exp(loss)));
}

void Metrics::record_change(int64_t step, const Change& change) {
  write_line(Json{{"event", "change"},
                  {"step", step},
                  {"time", unix_time()},
                  {"option", change.option},
                  {"before", change.before},
                  {"after", change.after}}
                 .dump());
}

void Metrics::record_sample(int64_t step, const std::string& prompt,
                            const std::string& continuation) {
  const double time = unix_time();
  const Json line = {{"event", "sample"},
                     {"step", step},
                     {"time", time},
                     {"prompt", prompt},
                     {"continuation", continuation}};
  // The last token may end inside a character.
  write_line(line.dump(-1, ' ', false, Json::error_handler_t::replace));
  const auto replaced =
      Json::parse(Json(prompt + continuation).dump(-1, ' ', false, Json::error_handler_t::replace));
  events_.text("sample", step, replaced.get<std::string>(), time);
  events_.flush();
  print(fmt::format("{}  {}\n", step_label(step),
                    printable(prompt + continuation, std::string::npos)));
}

void Metrics::record_masks(int64_t step, const Json& fields) {
  if (fields.is_null()) return;
  Json line = {{"event", "masks"}, {"step", step}, {"time", unix_time()}};
  line.update(fields);
  write_line(line.dump());
}

void Metrics::record_end(int64_t step, double seconds) {
  write_line(
      Json{{"event", "end"}, {"step", step}, {"time", unix_time()}, {"seconds", seconds}}.dump());
}

void Metrics::update_progress(int64_t step, double loss, double tokens_per_second) {
  bar_.update(static_cast<uint64_t>(step),
              fmt::format("step {}/{} · loss {:.3f} · {} tokens/s", step, description_.steps, loss,
                          short_count(tokens_per_second)));
}

void Metrics::write_line(const std::string& json) {
  log_ << json << '\n';
  log_.flush();
  if (!log_) fail("cannot write \"{}\": is the disk full?", log_path_.string());
}

}  // namespace twofour::train
