#include "twofour/cli/run_summary.h"

#include <cmath>

namespace twofour::cli {

nlohmann::ordered_json summary_json(const train::TrainSummary& summary,
                                    const train::TrainOptions& options) {
  // null if nothing was measured.
  const auto figure = [](const std::optional<double>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  std::optional<double> perplexity;
  if (summary.validation_loss) perplexity = std::exp(*summary.validation_loss);
  nlohmann::ordered_json json = {{"run", options.run.out.string()},
                                 {"method", options.model.method.name},
                                 {"parameters", summary.parameters},
                                 {"steps", summary.steps},
                                 {"train_loss", figure(summary.train_loss)},
                                 {"validation_loss", figure(summary.validation_loss)},
                                 {"validation_perplexity", figure(perplexity)},
                                 {"tokens_per_second", figure(summary.tokens_per_second)},
                                 {"seconds", summary.seconds},
                                 {"flip_rate", figure(summary.flip_rate)},
                                 {"zeros", figure(summary.zeros)},
                                 {"skipped", summary.skipped}};
  if (summary.changed_from_prior) json["changed_from_prior"] = *summary.changed_from_prior;
  return json;
}

}  // namespace twofour::cli
