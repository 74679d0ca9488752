#include "twofour/base/log.h"

#include <cstdlib>
#include <memory>
#include <mutex>

#include <spdlog/sinks/base_sink.h>

#include "twofour/base/progress.h"
#include "twofour/base/streams.h"

namespace twofour {
namespace {

class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    ProgressBar::clear_line();
    const char* label = message.level >= spdlog::level::err    ? "error: "
                        : message.level == spdlog::level::warn ? "warning: "
                                                               : "";
    const std::string_view text(message.payload.data(), message.payload.size());
    write_message_line(fmt::format("twofour: {}{}", label, text));
  }
  void flush_() override {}
};

}  // namespace

void start_log() {
  auto logger = std::make_shared<spdlog::logger>("twofour", std::make_shared<StderrSink>());
  const char* level = std::getenv("TWOFOUR_LOG");
  logger->set_level(level ? spdlog::level::from_str(level) : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void log_details() {
  if (spdlog::get_level() > spdlog::level::debug) spdlog::set_level(spdlog::level::debug);
}

}  // namespace twofour
