// Tokenizers: text to token ids and back. Byte-level BPE with a splitting rule (Radford et
// al., "Language models are unsupervised multitask learners", section 2.2) as GPT-2 and LLaMA-3
// have it, and BPE over characters with a fallback to bytes (Kudo and Richardson, arXiv 1808.06226)
// as LLaMA-2 has it; from Hugging Face's tokenizer.json, GPT-2's vocab.json + merges.txt,
// sentencepiece's tokenizer.model, llama2.c's tokenizer.bin.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace twofour::text {

/// An immutable tokenizer; all const functions may be called from several threads at once.
class Tokenizer {
 public:
  /// Reads a folder as AutoTokenizer of transformers 5 does: tokenizer.json, vocab.json with
  /// merges.txt, or sentencepiece's tokenizer.model, changed by the class of the tokenizer and the
  /// small files beside them (docs/model-format.md). Or reads a tokenizer.json, a .model or
  /// llama2.c's tokenizer.bin as that file's own library does.
  ///
  /// GPT-2's pair of files without any that transformers writes, also as encoder.json and
  /// vocab.bpe, is read as published: "<|endoftext|>" in a text is plain text.
  ///
  /// Throws Error naming the file and the place in it for anything missing or malformed, and for an
  /// unknown component that would change the ids (naming it).
  static Tokenizer load(const std::filesystem::path& path);

  /// The ids of `text` (UTF-8), without special tokens around it. Throws for invalid UTF-8, naming
  /// the byte. Recognises special tokens in the text if the tokenizer's file says so.
  std::vector<int32_t> encode(std::string_view text) const;

  /// The same for many texts, in parallel over base/parallel's threads. `continues[i]`, if given:
  /// texts[i] continues a text that was cut at safe_cut, so nothing is put before it.
  std::vector<std::vector<int32_t>> encode_batch(std::span<const std::string_view> texts,
                                                 const std::vector<bool>& continues = {}) const;

  /// The ids that tokenizer(text) of transformers 5 puts before and after a text, from the
  /// post_processor of tokenizer.json, or without a tokenizer.json from add_bos_token and
  /// add_eos_token of tokenizer_config.json. encode() adds neither.
  const std::vector<int32_t>& prefix_ids() const;
  const std::vector<int32_t>& suffix_ids() const;
  /// encode(text) between them.
  std::vector<int32_t> encode_with_special(std::string_view text) const;

  /// The bytes of `ids`. Not always valid UTF-8, since a character may end in the next id. Removes
  /// a space that encode() puts before a text. An id without a piece has no bytes, as in
  /// tokenizers; throws for a negative one.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  /// A place in [begin, text.size()) where `text` can be cut so that the parts' ids are the
  /// whole's, if the second part is encoded as one that continues. npos if none is known. For
  /// encoding more text than fits into memory.
  size_t safe_cut(std::string_view text, size_t begin) const;

  /// One more than the largest id, added tokens included.
  int32_t vocabulary_size() const;

  /// Whether each id below vocabulary_size() stands for anything. A vocabulary may have holes.
  std::vector<bool> known_ids() const;

  /// The ids of the tokens that begin and end a document: bos_token and eos_token of
  /// tokenizer_config.json, else "<|begin_of_text|>" or "<s>", and "<|endoftext|>",
  /// "<|end_of_text|>" or "</s>".
  std::optional<int32_t> begin_of_text() const;
  std::optional<int32_t> end_of_text() const;

  /// 32 hexadecimal digits that change with anything that could change an id of a text or of a
  /// document's end (XXH3-128): token files record it.
  std::string hash() const;

  /// Whether `recorded` is this tokenizer's hash(), or that of earlier versions, which covered only
  /// the vocabulary's files.
  bool has_hash(std::string_view recorded) const;

  /// Writes the files that Hugging Face reads into `folder`: those it was loaded from, or for a
  /// trained one tokenizer.json and tokenizer_config.json.
  void save(const std::filesystem::path& folder) const;

  struct Implementation;  ///< for the files inside text/
  explicit Tokenizer(std::shared_ptr<const Implementation> implementation);

  const Implementation& implementation() const { return *implementation_; }

 private:
  std::shared_ptr<const Implementation> implementation_;
};

}  // namespace twofour::text
