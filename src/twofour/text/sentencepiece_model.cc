#include "twofour/text/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/json_reader.h"

namespace twofour::text {
namespace {

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr size_t kLongestPiece = 1024;

/// Walks over the fields of one message.
class Message {
 public:
  Message(const fs::path& path, const char* name, std::string_view content)
      : path_(path), name_(name), rest_(content) {}

  /// Steps to the next field; false at the end.
  bool next() {
    if (rest_.empty()) return false;
    const uint64_t tag = read_varint();
    field_ = tag >> 3;
    wire_ = static_cast<int>(tag & 7);
    if (field_ == 0 || field_ > (uint64_t{1} << 29)) broken();
    switch (wire_) {
      case kVarint:
        number_ = read_varint();
        break;
      case kFixed64:
        take(8);
        break;
      case kBytes:
        bytes_ = take(read_varint());
        break;
      case kFixed32:
        bytes_ = take(4);
        break;
      default:
        broken();
    }
    return true;
  }

  uint64_t field() const { return field_; }
  std::string_view bytes() const { return expect(kBytes), bytes_; }
  bool flag() const { return expect(kVarint), number_ != 0; }
  // Negative numbers are written as 64 bits.
  int32_t integer() const { return expect(kVarint), static_cast<int32_t>(number_); }
  float number() const {
    expect(kFixed32);
    uint32_t bits = 0;
    for (int i = 3; i >= 0; --i)
      bits = bits << 8 | static_cast<unsigned char>(bytes_[static_cast<size_t>(i)]);
    return std::bit_cast<float>(bits);
  }

 private:
  [[noreturn]] void broken() const {
    refuse(path_,
           fmt::format("its {} is no valid protocol buffer: is it sentencepiece's model file?",
                       name_));
  }

  void expect(int wire) const {
    if (wire_ != wire) broken();
  }

  uint64_t read_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    broken();
  }

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) broken();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  const fs::path& path_;
  const char* name_;
  std::string_view rest_, bytes_;
  uint64_t field_ = 0, number_ = 0;
  int wire_ = 0;
};

SentencePiece parse_piece(const fs::path& path, std::string_view content) {
  SentencePiece piece;
  for (Message message(path, "piece", content); message.next();) {
    if (message.field() == 1) piece.text = message.bytes();
    if (message.field() == 2) piece.score = message.number();
    if (message.field() == 3) {
      const int32_t type = message.integer();
      if (type < SentencePiece::kNormal || type > SentencePiece::kByte) {
        refuse(path, fmt::format("the piece \"{}\" has the unknown type {}", printable(piece.text),
                                 type));
      }
      piece.type = static_cast<SentencePiece::Type>(type);
    }
  }
  return piece;
}

void parse_trainer(const fs::path& path, std::string_view content, SentencePieceModel& out) {
  for (Message message(path, "trainer_spec", content); message.next();) {
    switch (message.field()) {
      case 3: {
        const int32_t type = message.integer();
        if (type < SentencePieceModel::kUnigram || type > SentencePieceModel::kChar) {
          refuse(path, fmt::format("its model_type {} is unknown", type));
        }
        out.model_type = static_cast<SentencePieceModel::ModelType>(type);
        break;
      }
      case 24:
        out.suffix_whitespace = message.flag();
        break;
      case 35:
        out.byte_fallback = message.flag();
        break;
      case 40:
        out.unknown_id = message.integer();
        break;
      case 41:
        out.begin_id = message.integer();
        break;
      case 42:
        out.end_id = message.integer();
        break;
      case 43:
        out.padding_id = message.integer();
        break;
      case 45:
        out.unknown_piece = message.bytes();
        break;
      case 46:
        out.begin_piece = message.bytes();
        break;
      case 47:
        out.end_piece = message.bytes();
        break;
      default:
        break;
    }
  }
}

void parse_normalizer(const fs::path& path, std::string_view content, SentencePieceModel& out) {
  for (Message message(path, "normalizer_spec", content); message.next();) {
    switch (message.field()) {
      case 1:
        out.normalizer_name = message.bytes();
        break;
      case 2:
        out.normalizer_table = message.bytes();
        break;
      case 3:
        out.add_dummy_prefix = message.flag();
        break;
      case 4:
        out.remove_extra_whitespaces = message.flag();
        break;
      case 5:
        out.escape_whitespaces = message.flag();
        break;
      case 6:
        out.normalizer_rules = message.bytes();
        break;
      default:
        break;
    }
  }
}

}  // namespace

const char* model_type_name(SentencePieceModel::ModelType type) {
  static constexpr const char* kNames[] = {"", "Unigram", "BPE", "Word", "Char"};
  return kNames[type];
}

void check_pieces(const fs::path& path, const std::vector<SentencePiece>& pieces) {
  if (pieces.empty()) refuse(path, "it holds no pieces");
  if (pieces.size() > static_cast<size_t>(kLargestId)) refuse(path, "it holds too many pieces");
  std::unordered_set<std::string_view> known;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const SentencePiece& piece = pieces[id];
    const char* fault = piece.text.empty()                  ? "is empty"
                        : piece.text.size() > kLongestPiece ? "is longer than 1024 bytes"
                        : find_invalid_utf8(piece.text) != std::string::npos ? "is not valid UTF-8"
                        : !std::isfinite(piece.score)      ? "has a score that is no number"
                        : !known.insert(piece.text).second ? "is there twice"
                                                           : nullptr;
    if (fault) refuse(path, fmt::format("piece {} (\"{}\") {}", id, printable(piece.text), fault));
  }
}

SentencePieceModel parse_sentencepiece_model(const fs::path& path, std::string_view content) {
  SentencePieceModel model;
  for (Message message(path, "content", content); message.next();) {
    if (message.field() == 1) model.pieces.push_back(parse_piece(path, message.bytes()));
    if (message.field() == 2) parse_trainer(path, message.bytes(), model);
    if (message.field() == 3) parse_normalizer(path, message.bytes(), model);
  }
  check_pieces(path, model.pieces);
  return model;
}

}  // namespace twofour::text
