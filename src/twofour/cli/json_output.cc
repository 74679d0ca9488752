#include "twofour/cli/json_output.h"

#include "twofour/base/streams.h"

namespace twofour::cli {

void print_json_line(const nlohmann::ordered_json& json) {
  print_output("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace twofour::cli
