#include "twofour/text/documents.h"

#include <algorithm>
#include <string_view>

#include <simdjson.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/utf8.h"

namespace twofour::text {

struct DocumentReader::Reader {
  Reader(const fs::path& path, DocumentOptions options)
      : path(path), options(std::move(options)), input(path) {}
  virtual ~Reader() = default;
  virtual bool next(Part& part) = 0;

  /// Appends more of the file to `buffer`; false at its end.
  bool fill(std::string& buffer) {
    constexpr size_t kChunk = 1 << 18;
    const size_t used = buffer.size();
    buffer.resize(used + kChunk);
    const size_t got = input.read(std::span(buffer).subspan(used));
    buffer.resize(used + got);
    if (at_start && buffer.size() >= 3) {
      at_start = false;
      if (buffer.starts_with("\xef\xbb\xbf")) buffer.erase(0, 3);
    }
    return got > 0;
  }

  fs::path path;
  DocumentOptions options;
  Input input;
  bool at_start = true;
  int64_t empty_documents = 0;
};

namespace {

constexpr auto kNone = std::string_view::npos;

class TextReader : public DocumentReader::Reader {
 public:
  using Reader::Reader;

  bool next(Part& part) override {
    for (;;) {
      if (at_document_start_) skip_line_ends();
      if (take(part)) {
        check(part.text);
        return true;
      }
      if (ended_) return false;
      if (!fill(buffer_)) ended_ = true;
    }
  }

 private:
  void skip_line_ends() {
    const size_t first = buffer_.find_first_not_of("\r\n");
    const size_t skipped = std::min(first, buffer_.size());
    buffer_.erase(0, skipped);
    consumed_ += skipped;
  }

  // Takes a document or a part of one from the buffer, if the buffer holds one for certain.
  bool take(Part& part) {
    const std::string& separator = options.separator;
    const size_t at = separator.empty() ? kNone : buffer_.find(separator, searched_);
    if (at != kNone) return take_document(part, at, separator.size());
    searched_ = buffer_.size() > separator.size() ? buffer_.size() - separator.size() : 0;
    if (ended_) return !buffer_.empty() && take_document(part, buffer_.size(), 0);
    if (buffer_.size() < 2 * options.part_bytes || !options.safe_cut) return false;
    const size_t cut = options.safe_cut(buffer_, options.part_bytes);
    if (cut == kNone || cut >= searched_) return false;
    part = {buffer_.substr(0, cut), false};
    buffer_.erase(0, cut);
    searched_ -= cut;
    at_document_start_ = false;
    return true;
  }

  bool take_document(Part& part, size_t size, size_t separator) {
    std::string_view text = std::string_view(buffer_).substr(0, size);
    text = text.substr(0, text.find_last_not_of("\r\n") + 1);
    const bool is_empty = text.empty() && at_document_start_;
    part = {std::string(text), true};
    buffer_.erase(0, size + separator);
    searched_ = 0;
    at_document_start_ = true;
    // What check() does not see still counts for the positions that it names.
    skipped_after_ = size + separator - text.size();
    if (!is_empty) return true;
    ++empty_documents;
    consumed_ += skipped_after_;
    return false;
  }

  void check(const std::string& text) {
    const size_t bad = find_invalid_utf8(text);
    if (bad != kNone) {
      fail("cannot read \"{}\": not valid UTF-8 at byte {} (\"{}\"); convert it with iconv",
           path.string(), consumed_ + bad, printable(std::string_view(text).substr(bad, 4)));
    }
    consumed_ += text.size() + (at_document_start_ ? skipped_after_ : 0);
  }

  std::string buffer_;
  size_t searched_ = 0, skipped_after_ = 0;
  uint64_t consumed_ = 0;
  bool ended_ = false, at_document_start_ = true;
};

class JsonLinesReader : public DocumentReader::Reader {
 public:
  using Reader::Reader;

  bool next(Part& part) override {
    std::string_view line;
    while (next_line(line)) {
      ++line_number_;
      if (line.find_first_not_of(" \t\r") == kNone) continue;
      part = {text_of(line), true};
      if (!part.text.empty()) return true;
      ++empty_documents;
    }
    return false;
  }

 private:
  bool next_line(std::string_view& line) {
    for (;;) {
      const size_t newline = buffer_.find('\n', searched_);
      if (newline != kNone) {
        line = std::string_view(buffer_).substr(begin_, newline - begin_);
        begin_ = searched_ = newline + 1;
        return true;
      }
      if (ended_) {
        line = std::string_view(buffer_).substr(begin_);
        begin_ = searched_ = buffer_.size();
        return !line.empty();
      }
      buffer_.erase(0, begin_);
      begin_ = 0;
      searched_ = buffer_.size();
      if (buffer_.size() > options.largest_line) {
        fail("cannot read \"{}\": line {} is longer than {} bytes", path.string(), line_number_ + 1,
             options.largest_line);
      }
      ended_ = !fill(buffer_);
    }
  }

  std::string text_of(std::string_view line) {
    const auto refuse = [&](std::string_view reason) {
      fail("cannot read \"{}\": line {} {}", path.string(), line_number_, reason);
    };
    if (find_invalid_utf8(line) != kNone) refuse("is not valid UTF-8");
    padded_ = simdjson::padded_string(line);
    simdjson::dom::element element;
    const auto error = parser_.parse(padded_).get(element);
    if (error) refuse(fmt::format("is no valid JSON ({})", simdjson::error_message(error)));
    std::string_view text;
    if (element["text"].get(text)) refuse("has no \"text\" that is a string");
    return std::string(text);
  }

  std::string buffer_;
  simdjson::padded_string padded_;
  simdjson::dom::parser parser_;
  size_t begin_ = 0, searched_ = 0;
  int64_t line_number_ = 0;
  bool ended_ = false;
};

bool is_json_lines(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const char* end : {".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

}  // namespace

DocumentReader::DocumentReader(const fs::path& path, DocumentOptions options) {
  if (is_json_lines(path)) {
    reader_ = std::make_unique<JsonLinesReader>(path, std::move(options));
  } else {
    reader_ = std::make_unique<TextReader>(path, std::move(options));
  }
}

DocumentReader::~DocumentReader() = default;

bool DocumentReader::next(Part& part) { return reader_->next(part); }
const Input& DocumentReader::input() const { return reader_->input; }
int64_t DocumentReader::empty_documents() const { return reader_->empty_documents; }

}  // namespace twofour::text
