// Fields of config.json that several architectures have.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include <nlohmann/json.hpp>

#include "twofour/model/config_reader.h"
#include "twofour/model/rotary.h"

namespace twofour::model {

/// The number of layers, refused beyond what any model has.
int64_t layers_in(ConfigReader& reader, const std::string& name, int64_t otherwise);

/// Refuses a width, the value of field `name`, where a matrix of so many columns and one of these
/// numbers of rows is larger than that of any model.
void check_matrices(const ConfigReader& reader, const std::string& name, int64_t columns,
                    std::initializer_list<int64_t> rows);

/// Refuses a value that another does not divide.
void check_divides(const ConfigReader& reader, const std::string& name, int64_t value,
                   const std::string& divisor_name, int64_t divisor);

/// Refuses an odd width, since rotary angles turn pairs.
void check_rotary_width(const ConfigReader& reader, const std::string& name, int64_t width);

struct RopeFields {
  Rope rope;
  double share = 1.0;  ///< of a head that turns
};

/// How an architecture calls what transformers 4 had outside rope_scaling, and what it stands for
/// when it is absent.
struct RopeNames {
  std::string theta = "rope_theta";
  std::string share = "partial_rotary_factor";
  double default_share = 1.0;
};

/// transformers 4 has rope_theta and rope_scaling, 5 puts both into rope_parameters. Where several
/// say something, transformers lets rope_scaling win over rope_parameters, and their members over
/// the fields beside them.
RopeFields read_rope(ConfigReader& reader, int64_t context, const RopeNames& names = {});

/// The same where the whole head turns; a smaller share is refused.
Rope read_whole_rope(ConfigReader& reader, int64_t context);

/// rope_scaling of transformers 4; null for none.
nlohmann::ordered_json scaling_json(const RopeScaling& scaling);

/// Refuses layer_types other than one full attention a layer, but takes sliding ones.
void check_layer_types(ConfigReader& reader, int64_t layers);

/// sliding_window as Qwen2 and Qwen3 mean it; null where no layer has one. transformers takes an
/// absent one as 4096.
nlohmann::json qwen_window(ConfigReader& reader, int64_t layers);

/// The context in which attention over a window of the newest `window` tokens (null: none) sees
/// every token: the smaller of the two, with a warning where that is the window.
int64_t context_within(ConfigReader& reader, const nlohmann::json& window, int64_t context);

}  // namespace twofour::model
