#include "twofour/text/tokenizer_files.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/text/byte_level.h"

namespace twofour::text {
namespace {

using Json = nlohmann::json;  // ordered_json looks keys up one by one: minutes for a vocabulary

constexpr int32_t kLargestId = 1 << 24;

[[noreturn]] void refuse(const fs::path& path, const std::string& reason) {
  fail("cannot read \"{}\": {}", path.string(), reason);
}

Json parse(const fs::path& path, const std::string& content) {
  try {
    Json json = Json::parse(content);
    if (json.is_object()) return json;
  } catch (const Json::parse_error& error) {
    refuse(path, fmt::format("no valid JSON at byte {}", error.byte));
  }
  refuse(path, "it is not a JSON object");
}

// A field that must have one of the given values, or be absent or null, for the ids to come out
// right.
void require(const fs::path& path, const Json& object, const char* field,
             const std::vector<Json>& supported) {
  if (!object.contains(field) || object[field].is_null()) return;
  if (std::find(supported.begin(), supported.end(), object[field]) != supported.end()) return;
  refuse(path, fmt::format("{} {} is not supported", field, printable(object[field].dump())));
}

std::string type_of(const Json& component) {
  if (!component.is_object() || !component.contains("type") || !component["type"].is_string())
    return "";
  return component["type"].get<std::string>();
}

int32_t read_id(const fs::path& path, const Json& value, const std::string& piece) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > kLargestId) {
    refuse(path, fmt::format("the piece \"{}\" has the id {}", printable(piece),
                             printable(value.dump())));
  }
  return value.get<int32_t>();
}

// Pieces as bytes by id. `raw` pieces stand for themselves (added tokens inside the vocabulary).
std::vector<std::string> read_vocabulary(const fs::path& path, const Json& vocabulary,
                                         const std::set<std::string>& raw) {
  if (!vocabulary.is_object() || vocabulary.empty())
    refuse(path, "its vocabulary is no object of ids");
  std::vector<std::string> pieces;
  for (const auto& [piece, value] : vocabulary.items()) {
    const int32_t id = read_id(path, value, piece);
    if (id >= static_cast<int32_t>(pieces.size())) pieces.resize(static_cast<size_t>(id) + 1);
    std::string& slot = pieces[static_cast<size_t>(id)];
    if (!slot.empty()) refuse(path, fmt::format("two pieces have the id {}", id));
    const auto bytes = characters_to_bytes(piece);
    if (raw.count(piece) || !bytes) {
      // Never the result of a merge, but it takes its id.
      slot = piece;
      if (!raw.count(piece)) {
        refuse(path, fmt::format("the piece \"{}\" holds a character that stands for no byte",
                                 printable(piece)));
      }
    } else {
      slot = *bytes;
    }
    if (slot.empty()) refuse(path, "it has an empty piece");
  }
  return pieces;
}

/// Finds the ids of the merges' parts.
class MergeReader {
 public:
  MergeReader(const fs::path& path, const std::vector<std::string>& pieces) : path_(path) {
    for (size_t id = 0; id < pieces.size(); ++id) {
      if (!pieces[id].empty()) ids_.emplace(pieces[id], static_cast<int32_t>(id));
    }
  }

  void add(const std::string& left, const std::string& right) {
    merges_.push_back({find(left), find(right)});
  }

  /// "left right", the two parts as characters.
  void add_line(const std::string& line) {
    const size_t space = line.find(' ');
    if (space == 0 || space == std::string::npos ||
        line.find(' ', space + 1) != std::string::npos) {
      refuse(path_, fmt::format("merge {} is \"{}\", expected two pieces", merges_.size() + 1,
                                printable(line)));
    }
    add(line.substr(0, space), line.substr(space + 1));
  }

  const std::vector<Bpe::Merge>& merges() const { return merges_; }

 private:
  int32_t find(const std::string& characters) const {
    const auto bytes = characters_to_bytes(characters);
    const auto found = bytes ? ids_.find(*bytes) : ids_.end();
    if (found == ids_.end()) {
      refuse(path_, fmt::format("merge {} names \"{}\", which is not in the vocabulary",
                                merges_.size() + 1, printable(characters)));
    }
    return found->second;
  }

  fs::path path_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Bpe::Merge> merges_;
};

std::vector<Bpe::Merge> read_merges(const fs::path& path, const Json& merges,
                                    const std::vector<std::string>& pieces) {
  if (!merges.is_array()) refuse(path, "its merges are no list");
  MergeReader reader(path, pieces);
  for (const Json& merge : merges) {
    if (merge.is_string()) {
      reader.add_line(merge.get<std::string>());
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      reader.add(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      refuse(path, fmt::format("a merge is {}, expected two pieces", printable(merge.dump())));
    }
  }
  return reader.merges();
}

std::vector<AddedToken> read_added_tokens(const fs::path& path, const Json& json) {
  std::vector<AddedToken> tokens;
  if (!json.contains("added_tokens")) return tokens;
  if (!json["added_tokens"].is_array()) refuse(path, "its added_tokens are no list");
  for (const Json& token : json["added_tokens"]) {
    if (!token.is_object() || !token.contains("content") || !token["content"].is_string() ||
        token["content"].get<std::string>().empty() || !token.contains("id")) {
      refuse(path, "an added token lacks its content or id");
    }
    const auto content = token["content"].get<std::string>();
    for (const char* field : {"single_word", "lstrip", "rstrip"})
      require(path, token, field, {false});
    tokens.push_back({content, read_id(path, token["id"], content)});
  }
  return tokens;
}

// Sets the splitting rule from the "pre_tokenizer" component.
void read_pre_tokenizer(const fs::path& path, const Json& json, Tokenizer::Implementation& out) {
  const Json none;
  const Json& component = json.contains("pre_tokenizer") ? json["pre_tokenizer"] : none;
  std::vector<Json> parts = {component};
  if (type_of(component) == "Sequence" && component.contains("pretokenizers") &&
      component["pretokenizers"].is_array()) {
    parts = component["pretokenizers"].get<std::vector<Json>>();
  }
  std::string rule;
  bool byte_level = false;
  for (const Json& part : parts) {
    const std::string type = type_of(part);
    const bool known_order = !byte_level;
    if (type == "Split" && known_order && rule.empty()) {
      require(path, part, "behavior", {"Isolated"});
      require(path, part, "invert", {false});
      if (!part.contains("pattern") || !part["pattern"].is_object() ||
          !part["pattern"].contains("Regex") || !part["pattern"]["Regex"].is_string()) {
        refuse(path, "a Split pre-tokenizer without a Regex is not supported");
      }
      rule = part["pattern"]["Regex"].get<std::string>();
    } else if (type == "ByteLevel" && known_order) {
      byte_level = true;
      out.add_prefix_space = part.value("add_prefix_space", true);
      if (part.value("use_regex", true)) {
        if (!rule.empty()) refuse(path, "two splitting rules after each other are not supported");
        rule = kGpt2Rule;
      }
    } else {
      refuse(path, fmt::format("the pre-tokenizer {} is not supported here",
                               printable(type.empty() ? part.dump() : type)));
    }
  }
  if (!byte_level || rule.empty())
    refuse(path, "only byte-level BPE with a splitting rule is supported");
  out.splitter = std::make_unique<Splitter>(rule);
}

void finish(const fs::path& path, std::vector<std::string> pieces,
            const std::vector<Bpe::Merge>& merges, bool ignore_merges,
            Tokenizer::Implementation& out) {
  for (const auto& [id, content] : out.added_content) {
    if (id >= static_cast<int32_t>(pieces.size())) pieces.resize(static_cast<size_t>(id) + 1);
  }
  out.vocabulary_size = static_cast<int32_t>(pieces.size());
  std::stable_sort(out.recognised.begin(), out.recognised.end(), [](const auto& a, const auto& b) {
    return a.content.size() > b.content.size();
  });
  std::set<char> first_bytes;
  for (const AddedToken& token : out.recognised) first_bytes.insert(token.content[0]);
  out.first_bytes.assign(first_bytes.begin(), first_bytes.end());
  try {
    out.bpe = std::make_unique<Bpe>(std::move(pieces), merges, ignore_merges);
  } catch (const Error& error) {
    refuse(path, error.what());
  }
  for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>"}) {
    for (const auto& [id, content] : out.added_content) {
      if (content == name && !out.end_of_text) out.end_of_text = id;
    }
  }
}

Json added_token_json(const std::string& content, int32_t id) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

}  // namespace

std::shared_ptr<Tokenizer::Implementation> read_tokenizer_json(const fs::path& path) {
  auto out = std::make_shared<Tokenizer::Implementation>();
  const std::string content = read_file(path);
  const Json json = parse(path, content);
  require(path, json, "normalizer", {});
  if (!json.contains("model") || type_of(json["model"]) != "BPE") {
    refuse(path, "its model is not BPE, the only kind that is supported");
  }
  const Json& model = json["model"];
  require(path, model, "dropout", {0, 0.0});
  require(path, model, "unk_token", {});
  require(path, model, "continuing_subword_prefix", {""});
  require(path, model, "end_of_word_suffix", {""});
  require(path, model, "byte_fallback", {false});
  require(path, model, "ignore_merges", {false, true});
  out->recognised = read_added_tokens(path, json);
  std::set<std::string> raw;
  for (const AddedToken& token : out->recognised) {
    raw.insert(token.content);
    if (!out->added_content.emplace(token.id, token.content).second) {
      refuse(path, fmt::format("two added tokens have the id {}", token.id));
    }
  }
  read_pre_tokenizer(path, json, *out);
  if (!model.contains("vocab") || !model.contains("merges"))
    refuse(path, "its model lacks vocab or merges");
  std::vector<std::string> pieces = read_vocabulary(path, model["vocab"], raw);
  const auto merges = read_merges(path, model["merges"], pieces);
  finish(path, std::move(pieces), merges, model.value("ignore_merges", false), *out);
  out->files["tokenizer.json"] = content;
  return out;
}

std::shared_ptr<Tokenizer::Implementation> read_vocabulary_and_merges(const fs::path& vocabulary,
                                                                      const fs::path& merges) {
  auto out = std::make_shared<Tokenizer::Implementation>();
  const std::string vocabulary_text = read_file(vocabulary), merges_text = read_file(merges);
  const std::string end = "<|endoftext|>";
  const Json json = parse(vocabulary, vocabulary_text);
  std::vector<std::string> pieces = read_vocabulary(vocabulary, json, {end});
  if (json.contains(end)) out->added_content[json[end].get<int32_t>()] = end;
  MergeReader reader(merges, pieces);
  for (size_t begin = 0; begin < merges_text.size();) {
    const size_t newline = std::min(merges_text.find('\n', begin), merges_text.size());
    std::string line = merges_text.substr(begin, newline - begin);
    if (line.ends_with('\r')) line.pop_back();
    const bool is_comment = begin == 0 && line.starts_with("#version");
    if (!line.empty() && !is_comment) reader.add_line(line);
    begin = newline + 1;
  }
  out->splitter = std::make_unique<Splitter>(std::string(kGpt2Rule));
  finish(merges, std::move(pieces), reader.merges(), false, *out);
  out->files["vocab.json"] = vocabulary_text;
  out->files["merges.txt"] = merges_text;
  return out;
}

Tokenizer make_tokenizer(const std::vector<std::string>& pieces,
                         const std::vector<Bpe::Merge>& merges,
                         const std::vector<std::string>& special_tokens) {
  auto out = std::make_shared<Tokenizer::Implementation>();
  Json added = Json::array(), vocabulary = Json::object(), merge_list = Json::array();
  for (size_t id = 0; id < pieces.size(); ++id) {
    const bool special = id < special_tokens.size();
    vocabulary[special ? pieces[id] : bytes_to_characters(pieces[id])] = id;
    if (!special) continue;
    added.push_back(added_token_json(pieces[id], static_cast<int32_t>(id)));
    out->recognised.push_back({pieces[id], static_cast<int32_t>(id)});
    out->added_content[static_cast<int32_t>(id)] = pieces[id];
  }
  const auto characters = [&](int32_t id) {
    return bytes_to_characters(pieces[static_cast<size_t>(id)]);
  };
  for (const Bpe::Merge& merge : merges) {
    merge_list.push_back({characters(merge.left), characters(merge.right)});
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  const Json json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", byte_level},
                     {"post_processor", nullptr},
                     {"decoder", byte_level},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false},
                       {"vocab", vocabulary},
                       {"merges", merge_list}}}};
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  if (!special_tokens.empty()) {
    config["bos_token"] = config["eos_token"] = special_tokens.front();
  }
  out->splitter = std::make_unique<Splitter>(std::string(kGpt2Rule));
  finish("tokenizer.json", pieces, merges, false, *out);
  out->files["tokenizer.json"] = json.dump() + "\n";
  out->files["tokenizer_config.json"] = config.dump(2) + "\n";
  return Tokenizer(out);
}

}  // namespace twofour::text
