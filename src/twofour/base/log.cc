#include "twofour/base/log.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>

#include <spdlog/sinks/base_sink.h>

#include "twofour/base/progress.h"

namespace twofour {
namespace {

class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    ProgressBar::clear_line();
    const char* label = message.level >= spdlog::level::err     ? "error: "
                        : message.level == spdlog::level::warn  ? "warning: "
                        : message.level <= spdlog::level::debug ? "debug: "
                                                                : "";
    std::fprintf(stderr, "twofour: %s%.*s\n", label, static_cast<int>(message.payload.size()),
                 message.payload.data());
  }
  void flush_() override { std::fflush(stderr); }
};

}  // namespace

void start_log() {
  auto logger = std::make_shared<spdlog::logger>("twofour", std::make_shared<StderrSink>());
  const char* level = std::getenv("TWOFOUR_LOG");
  logger->set_level(level ? spdlog::level::from_str(level) : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace twofour
