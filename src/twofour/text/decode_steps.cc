#include "twofour/text/decode_steps.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "twofour/base/utf8.h"
#include "twofour/text/byte_level.h"

namespace twofour::text {
namespace {

using Next = std::unique_ptr<PieceReceiver>;

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// Replaces every `from` by `to`; an empty one matches between any two characters.
std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  while (true) {
    const bool empty = from.empty();
    const size_t at = empty ? 0 : text.find(from);
    if (at == std::string_view::npos) break;
    out.append(text.substr(0, at)).append(to);
    if (empty && text.empty()) break;
    const size_t rest = empty ? utf8_sequence_length(text) : 0;
    out += text.substr(at, rest);
    text.remove_prefix(at + std::max(from.size(), rest));
  }
  return out.append(text);
}

// The number of bytes of a character that begins with `lead`; 0 if none does.
size_t length_of_lead(unsigned char lead) {
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

// `text` begins with an incomplete character: its length, or 1 (Unicode 16, section 3.9, "U+FFFD
// substitution of maximal subparts").
size_t broken_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t whole = length_of_lead(lead);
  size_t length = 1;
  for (; length < std::min(whole, text.size()); ++length) {
    const auto byte = static_cast<unsigned char>(text[length]);
    const unsigned low = length > 1 ? 0x80 : lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = length > 1 ? 0xbf : lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (byte < low || byte > high) break;
  }
  return length;
}

// Wordpiece's rules for English.
std::string cleaned_up(std::string text) {
  static constexpr std::pair<const char*, const char*> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) {
    if (text.find(from) != std::string::npos) text = replaced(text, from, to);
  }
  return text;
}

/// A step that knows the next one.
class Step : public PieceReceiver {
 public:
  explicit Step(Next next) : next_(std::move(next)) {}
  void finish() override { next_->finish(); }

 protected:
  PieceReceiver& next() { return *next_; }

 private:
  Next next_;
};

/// Bytes that may end with an incomplete character.
class ByteLevelStep : public Step {
 public:
  using Step::Step;

  void add(std::string_view piece) override {
    const auto bytes = characters_to_bytes(piece);
    pending_.append(bytes ? *bytes : piece);
    give(/*all=*/false);
  }
  void finish() override {
    give(/*all=*/true);
    next().finish();
  }

 private:
  void give(bool all) {
    std::string out;
    std::string_view rest = pending_;
    while (!rest.empty()) {
      const size_t bad = std::min(find_invalid_utf8(rest), rest.size());
      out += rest.substr(0, bad);
      rest.remove_prefix(bad);
      const size_t broken = broken_length(rest);
      if (rest.empty() || (!all && broken == rest.size() &&
                           length_of_lead(static_cast<unsigned char>(rest[0])) > rest.size()))
        break;
      out += kReplacement;
      rest.remove_prefix(broken);
    }
    if (!out.empty()) next().add(out);
    pending_.erase(0, pending_.size() - rest.size());
  }

  std::string pending_;
};

class ReplaceStep : public Step {
 public:
  ReplaceStep(const DecodeStep& step, Next next)
      : Step(std::move(next)), pattern_(step.pattern), content_(step.text) {}

  void add(std::string_view piece) override {
    std::string out;
    pattern_->for_spans(piece, [&](size_t begin, size_t end, bool matches) {
      out += matches ? std::string_view(content_) : piece.substr(begin, end - begin);
    });
    next().add(out);
  }

 private:
  std::shared_ptr<const Pattern> pattern_;
  std::string content_;
};

class ByteFallbackStep : public Step {
 public:
  using Step::Step;

  void add(std::string_view piece) override {
    if (const auto byte = byte_of(piece)) {
      bytes_ += *byte;
      return;
    }
    give_bytes();
    next().add(piece);
  }
  void finish() override {
    give_bytes();
    next().finish();
  }

 private:
  static std::optional<char> byte_of(std::string_view piece) {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
    int value = 0;
    for (const char c : piece.substr(piece[3] == '+' ? 4 : 3, piece[3] == '+' ? 1 : 2)) {
      const bool digit = c >= '0' && c <= '9';
      const char lower = static_cast<char>(c | 0x20);
      if (!digit && (lower < 'a' || lower > 'f')) return std::nullopt;
      value = value * 16 + (digit ? c - '0' : lower - 'a' + 10);
    }
    return static_cast<char>(value);
  }

  void give_bytes() {
    if (bytes_.empty()) return;
    if (find_invalid_utf8(bytes_) == std::string_view::npos) {
      next().add(bytes_);
    } else {
      for (size_t i = 0; i < bytes_.size(); ++i) next().add(kReplacement);
    }
    bytes_.clear();
  }

  std::string bytes_;
};

/// Joins all pieces, for a step that needs them whole.
class JoinStep : public Step {
 public:
  using Step::Step;
  void add(std::string_view piece) override { whole_ += piece; }
  void finish() override {
    next().add(whole_);
    next().finish();
  }

 private:
  std::string whole_;
};

/// Strips the ends of each piece, or with `joined` of all pieces as one.
class StripStep : public Step {
 public:
  StripStep(const DecodeStep& step, bool joined, Next next)
      : Step(std::move(next)), step_(step), joined_(joined), stripped_(0) {}

  void add(std::string_view piece) override {
    if (!joined_) begin_piece();
    while (stripping_ && !piece.empty()) {
      stripping_ = stripped_ < step_.start && piece.starts_with(step_.text);
      if (!stripping_) break;
      piece.remove_prefix(step_.text.size());
      ++stripped_;
    }
    held_ += piece;
    const std::string_view end = without_end();
    const std::string given = joined_ ? held_.substr(0, end.size()) : std::string(end);
    joined_ ? static_cast<void>(held_.erase(0, end.size())) : held_.clear();
    if (!joined_ || !given.empty()) next().add(given);
  }

 private:
  void begin_piece() {
    stripping_ = true;
    stripped_ = 0;
  }
  // The held text without the characters to strip at its end.
  std::string_view without_end() const {
    std::string_view text = held_;
    for (size_t i = 0; i < step_.stop && text.ends_with(step_.text); ++i) {
      text.remove_suffix(step_.text.size());
    }
    return text;
  }

  DecodeStep step_;
  bool joined_;
  bool stripping_ = true;
  size_t stripped_;
  std::string held_;
};

class MetaspaceStep : public Step {
 public:
  MetaspaceStep(const DecodeStep& step, Next next)
      : Step(std::move(next)), symbol_(step.text), first_(step.flag) {}

  void add(std::string_view piece) override {
    next().add(replaced(piece, symbol_, first_ ? "" : " "));
    first_ = false;
  }

 private:
  std::string symbol_;
  bool first_;  // the piece loses its spaces
};

class BpeStep : public Step {
 public:
  BpeStep(const DecodeStep& step, Next next) : Step(std::move(next)), suffix_(step.text) {}

  void add(std::string_view piece) override {
    if (last_) next().add(replaced(*last_, suffix_, " "));
    last_ = piece;
  }
  void finish() override {
    if (last_) next().add(replaced(*last_, suffix_, ""));
    next().finish();
  }

 private:
  std::string suffix_;
  std::optional<std::string> last_;
};

class WordPieceStep : public Step {
 public:
  WordPieceStep(const DecodeStep& step, Next next)
      : Step(std::move(next)), prefix_(step.text), cleans_up_(step.flag) {}

  void add(std::string_view piece) override {
    std::string out;
    if (!first_ && !piece.starts_with(prefix_)) out = " ";
    if (!first_ && piece.starts_with(prefix_)) piece.remove_prefix(prefix_.size());
    out += piece;
    first_ = false;
    next().add(cleans_up_ ? cleaned_up(out) : out);
  }

 private:
  std::string prefix_;
  bool cleans_up_, first_ = true;
};

class CtcStep : public Step {
 public:
  CtcStep(const DecodeStep& step, Next next) : Step(std::move(next)), step_(step) {}

  void add(std::string_view piece) override {
    if (previous_ == piece) return;
    previous_ = piece;
    std::string out = replaced(piece, step_.text, "");
    if (step_.flag) out = replaced(cleaned_up(out), step_.delimiter, " ");
    if (!out.empty()) next().add(out);
  }

 private:
  DecodeStep step_;
  std::optional<std::string> previous_;
};

class SpacesStep : public Step {
 public:
  using Step::Step;
  void add(std::string_view piece) override {
    if (!first_) next().add(" ");
    first_ = false;
    next().add(piece);
  }

 private:
  bool first_ = true;
};

// `joined`: the coming pieces are parts of one.
Next make_step(const DecodeStep& step, bool joined, Next next) {
  switch (step.kind) {
    case DecodeStep::kByteLevel:
      return std::make_unique<ByteLevelStep>(std::move(next));
    case DecodeStep::kReplace:
      return std::make_unique<ReplaceStep>(step, std::move(next));
    case DecodeStep::kByteFallback:
      return std::make_unique<ByteFallbackStep>(std::move(next));
    case DecodeStep::kStrip:
      return std::make_unique<StripStep>(step, joined, std::move(next));
    case DecodeStep::kMetaspace:
      return std::make_unique<MetaspaceStep>(step, std::move(next));
    case DecodeStep::kBpe:
      return std::make_unique<BpeStep>(step, std::move(next));
    case DecodeStep::kWordPiece:
      return std::make_unique<WordPieceStep>(step, std::move(next));
    case DecodeStep::kCtc:
      return std::make_unique<CtcStep>(step, std::move(next));
    case DecodeStep::kFuse:
      break;
  }
  return next;
}

}  // namespace

Next make_decoder(std::span<const DecodeStep> steps, Next last) {
  if (steps.empty()) return std::make_unique<SpacesStep>(std::move(last));
  // Whether each step's pieces are parts of one.
  std::vector<bool> joined;
  bool now = false;
  for (const DecodeStep& step : steps) {
    joined.push_back(now);
    if (step.kind == DecodeStep::kFuse || step.kind == DecodeStep::kByteLevel) {
      now = true;
    } else if (step.kind != DecodeStep::kStrip) {
      now = false;
    }
  }
  for (size_t i = steps.size(); i-- > 0;) {
    last = make_step(steps[i], joined[i], std::move(last));
    const bool needs_whole =
        steps[i].kind != DecodeStep::kFuse && steps[i].kind != DecodeStep::kStrip;
    if (joined[i] && needs_whole) last = std::make_unique<JoinStep>(std::move(last));
  }
  return last;
}

}  // namespace twofour::text
