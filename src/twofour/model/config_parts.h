// Fields of config.json that several architectures share.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include <nlohmann/json.hpp>

#include "twofour/model/config_reader.h"
#include "twofour/model/rotary.h"

namespace twofour::model {

/// The number of layers. Refuses more than any model has.
int64_t layers_in(ConfigReader& reader, const std::string& name, int64_t otherwise);

/// Refuses a width, the value of field `name`, if a matrix with so many columns and one of these
/// numbers of rows is larger than any model's.
void check_matrices(const ConfigReader& reader, const std::string& name, int64_t columns,
                    std::initializer_list<int64_t> rows);

/// Refuses a value that is not a multiple of the divisor.
void check_divides(const ConfigReader& reader, const std::string& name, int64_t value,
                   const std::string& divisor_name, int64_t divisor);

/// Refuses an odd width, because rotary angles rotate pairs.
void check_rotary_width(const ConfigReader& reader, const std::string& name, int64_t width);

struct RopeFields {
  Rope rope;
  double share = 1.0;  ///< the rotated share of a head
};

/// The architecture's names for fields outside rope_scaling in transformers 4, and their defaults.
struct RopeNames {
  std::string theta = "rope_theta";
  std::string share = "partial_rotary_factor";
  double default_share = 1.0;
};

/// transformers 4 has rope_theta and rope_scaling; 5 puts both into rope_parameters. As in
/// transformers, rope_scaling takes precedence over rope_parameters, and their members over the
/// fields beside them.
RopeFields read_rope(ConfigReader& reader, int64_t context, const RopeNames& names = {});

/// The same for heads that are rotated entirely; refuses a smaller share.
Rope read_whole_rope(ConfigReader& reader, int64_t context);

/// rope_scaling of transformers 4; null for none.
nlohmann::ordered_json scaling_json(const RopeScaling& scaling);

/// Refuses layer_types other than one full or sliding attention per layer.
void check_layer_types(ConfigReader& reader, int64_t layers);

/// sliding_window as in Qwen2 and Qwen3; null if no layer has one. transformers replaces an absent
/// one by 4096.
nlohmann::json qwen_window(ConfigReader& reader, int64_t layers);

/// The largest context in which attention over the newest `window` tokens (null: all) sees every
/// token: the smaller of the two, with a warning if that is the window.
int64_t context_within(ConfigReader& reader, const nlohmann::json& window, int64_t context);

}  // namespace twofour::model
