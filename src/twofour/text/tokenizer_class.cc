#include "twofour/text/tokenizer_class.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "twofour/base/error.h"

namespace twofour::text {
namespace {

// Words of a list; the names below are those of transformers 5.24.
std::set<std::string> words(const char* list) {
  std::istringstream stream(list);
  return {std::istream_iterator<std::string>(stream), {}};
}

// Classes that transformers knows and this program does not read.
const std::set<std::string>& other_classes() {
  static const std::set<std::string> kNames = words(
      "AlbertTokenizer AutoTokenizer BartTokenizer BarthezTokenizer BartphoTokenizer "
      "BasicTokenizer BertGenerationTokenizer BertJapaneseTokenizer BertTokenizer "
      "BertweetTokenizer BigBirdTokenizer BioGptTokenizer BlenderbotSmallTokenizer "
      "BlenderbotTokenizer ByT5Tokenizer CLIPTokenizer CTRLTokenizer CamembertTokenizer "
      "CanineTokenizer CharacterTokenizer ClvpTokenizer CodeGenTokenizer CohereTokenizer "
      "ConvBertTokenizer CpmAntTokenizer CpmTokenizer DPRContextEncoderTokenizer "
      "DPRQuestionEncoderTokenizer DPRReaderTokenizer DebertaTokenizer DebertaV2Tokenizer "
      "DiaTokenizer DistilBertTokenizer EsmTokenizer EsmcTokenizer FNetTokenizer FSMTTokenizer "
      "FastSpeech2ConformerTokenizer FlaubertTokenizer FunnelTokenizer GPTNeoXJapaneseTokenizer "
      "GPTSw3Tokenizer GemmaTokenizer HerbertTokenizer LEDTokenizer LasrTokenizer "
      "LayoutLMv2Tokenizer LayoutLMv3Tokenizer LayoutXLMTokenizer LukeTokenizer LxmertTokenizer "
      "M2M100Tokenizer MBart50Tokenizer MBartTokenizer MLukeTokenizer MPNetTokenizer "
      "MarianTokenizer MarkupLMTokenizer MecabTokenizer MgpstrTokenizer MobileBertTokenizer "
      "MvpTokenizer MyT5Tokenizer NllbTokenizer NougatTokenizer OpenAIGPTTokenizer "
      "PLBartTokenizer ParakeetTokenizer PegasusTokenizer PerceiverTokenizer PhobertTokenizer "
      "Pop2PianoTokenizer ProphetNetTokenizer Qwen3_5Tokenizer RagTokenizer ReformerTokenizer "
      "RemBertTokenizer RoCBertTokenizer RoFormerTokenizer RobertaTokenizer "
      "SeamlessM4TTokenizer Siglip2Tokenizer SiglipTokenizer Speech2TextTokenizer "
      "SpeechT5Tokenizer SplinterTokenizer SqueezeBertTokenizer T5Tokenizer TapasTokenizer "
      "Tipsv2Tokenizer UdopTokenizer VideoPrismTokenizer VitsTokenizer Wav2Vec2CTCTokenizer "
      "Wav2Vec2PhonemeCTCTokenizer WhisperTokenizer WordpieceTokenizer XGLMTokenizer "
      "XLMRobertaTokenizer XLMTokenizer XLNetTokenizer");
  return kNames;
}

// The classes of model types; a type that is not listed has none (LLaMA too: tokenizer.json alone
// decides). Those of kOther may have byte-level BPE in tokenizer.json, and a class not read here.
const std::map<std::string, std::string>& classes_by_type() {
  static const std::map<std::string, std::string> kClasses = [] {
    std::map<std::string, std::string> classes;
    const auto add = [&](const char* name, const char* types) {
      for (const std::string& type : words(types)) classes[type] = name;
    };
    add("GPT2Tokenizer",
        "blip-2 codegen dbrx emu3 gpt2 gpt_neo gptj hyperclovax_vision_v2 instructblip "
        "instructblipvideo jais2 opt phi starcoder2");
    add("GPTNeoXTokenizer", "falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm");
    add("Qwen2Tokenizer",
        "audioflamingo3 colqwen2 cosmos3_omni dots3_note fun_asr_nano hunyuan_vl internvl "
        "lighton_ocr moss_transcribe_diarize ovis2 qianfan_ocr qwen2 qwen2_5_omni qwen2_5_vl "
        "qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next qwen3_omni_moe "
        "qwen3_vl qwen3_vl_moe vibevoice");
    add("LlamaTokenizer", "idefics idefics2");
    add("CodeLlamaTokenizer", "code_llama");
    add("Qwen3_5Tokenizer", "qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp");
    add("GemmaTokenizer",
        "gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma t5gemma zaya");
    add("CohereTokenizer", "aya_vision cohere cohere2");
    add("RobertaTokenizer", "bart bridgetower ibert lilt longformer roberta");
    add("OpenAIGPTTokenizer", "openai-gpt");
    add("WhisperTokenizer", "whisper");
    add("CLIPTokenizer", "clip");
    add("TokenizersBackend",
        "EvollaModel arctic aria beam bigbird_pegasus camembertv2-base canary chatlm cohere_asr "
        "ernie4_5 ernie4_5_moe flex_olmo fuyu glm glm4 glm4_moe glm4_moe_lite glm4v glm4v_moe "
        "glm_image glmasr got_ocr2 gpt_bigcode gradium_phonon_tts granite granitemoe "
        "granitemoehybrid granitemoeshared h2ovl_chat hyperclovax hyperclovax_vlm internlm2 "
        "internlm3 iquestcoder jamba kimi_k25 kimi_linear kosmos-2 llava llava_next "
        "mimo_v2_flash minicpm3 minicpm_ocr minicpmv minicpmv4_6 minicpmv4_7 minimax_m2 "
        "ministral ministral3 mistral mistral3 mistral_large4 mixtral modernbert "
        "modernbert-decoder molmo molmo2 nemo_speechlm nemotron nvfp4 nystromformer olmo2 olmo3 "
        "olmo_hybrid omniasr opencua openvla paddleocr_vl pegasus_x persimmon phi3 phi3_v phimoe "
        "pix2struct pixtral pocket_tts smolvlm stablelm step3_vl umt5 vipllava voxtral "
        "voxtral_realtime xlm-roberta-xl");
    return classes;
  }();
  return kClasses;
}

// Model types whose published folders name a wrong class: the type decides.
bool type_decides(const std::string& type) {
  static const std::set<std::string> kTypes = words(
      "arctic camembertv2-base chatlm cohere_asr ernie4_5 ernie4_5_moe fuyu h2ovl_chat "
      "hyperclovax hyperclovax_vision_v2 hyperclovax_vlm internlm2 internlm3 iquestcoder jamba "
      "llava llava_next minicpm3 minicpmv minimax_m2 modernbert modernbert-decoder molmo molmo2 "
      "nemotron nvfp4 opencua openvla paddleocr_vl phi3 phi3_v phimoe qwen2 qwen3_5 qwen3_5_moe "
      "qwen3_5_moe_text qwen4_exp siglip2 smolvlm step3_vl vipllava");
  return kTypes.contains(type);
}

std::string string_field(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string without_fast(std::string name) {
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

constexpr TokenizerClass kRead[] = {TokenizerClass::kGpt2,      TokenizerClass::kGptNeoX,
                                    TokenizerClass::kQwen2,     TokenizerClass::kLlama,
                                    TokenizerClass::kCodeLlama, TokenizerClass::kSentencePiece};

// Whether transformers knows a class of this name.
bool is_known(const std::string& name) {
  const std::string base = without_fast(name);
  return other_classes().contains(base) || base == "PreTrainedTokenizer" ||
         base == "TokenizersBackend" ||
         std::any_of(std::begin(kRead), std::end(kRead),
                     [&](TokenizerClass type) { return base == class_name(type); });
}

// An unknown name stands for the backend, like transformers' own generic names.
TokenizerClass class_of(const fs::path& folder, const std::string& name) {
  const std::string base = without_fast(name);
  for (const TokenizerClass type : kRead) {
    if (base == class_name(type)) return type;
  }
  if (other_classes().contains(base)) {
    fail("cannot read the tokenizer of \"{}\": the class {} is not supported", folder.string(),
         base);
  }
  return TokenizerClass::kBackend;
}

bool has_own_code(const Json& config) {
  const auto map = config.find("auto_map");
  if (map == config.end()) return false;
  return !map->is_object() ||
         (map->contains("AutoTokenizer") && !(*map)["AutoTokenizer"].is_null());
}

}  // namespace

const char* class_name(TokenizerClass type) {
  switch (type) {
    case TokenizerClass::kGpt2:
      return "GPT2Tokenizer";
    case TokenizerClass::kGptNeoX:
      return "GPTNeoXTokenizer";
    case TokenizerClass::kQwen2:
      return "Qwen2Tokenizer";
    case TokenizerClass::kLlama:
      return "LlamaTokenizer";
    case TokenizerClass::kCodeLlama:
      return "CodeLlamaTokenizer";
    case TokenizerClass::kSentencePiece:
      return "SentencePieceProcessor";
    case TokenizerClass::kBackend:
      break;
  }
  return "PreTrainedTokenizerFast";
}

bool names_tokenizer_class(const ClassEvidence& evidence) {
  return !string_field(evidence.tokenizer_config, "tokenizer_class").empty() ||
         !string_field(evidence.config, "tokenizer_class").empty() ||
         !string_field(evidence.config, "model_type").empty();
}

TokenizerClass choose_tokenizer_class(const fs::path& folder, const ClassEvidence& evidence) {
  const std::string type = string_field(evidence.config, "model_type");
  const auto by_type = classes_by_type().find(type);
  const std::string registered = by_type == classes_by_type().end() ? "" : by_type->second;
  std::string named = string_field(evidence.tokenizer_config, "tokenizer_class");
  const bool own_code = has_own_code(evidence.tokenizer_config), decides = type_decides(type);
  if (own_code && !decides && registered.empty() && !is_known(named)) {
    fail(
        "cannot read the tokenizer of \"{}\": it comes with code of its own (auto_map of "
        "tokenizer_config.json), which is not run",
        folder.string());
  }
  if (named.empty()) named = string_field(evidence.config, "tokenizer_class");
  if (!own_code && !named.empty()) {
    if (without_fast(named) == "LlamaTokenizer" && !decides && evidence.json_is_byte_level) {
      return TokenizerClass::kBackend;
    }
    if (!registered.empty() && registered != without_fast(named)) {
      if (registered == "TokenizersBackend") return TokenizerClass::kBackend;
      return class_of(folder, decides ? registered : named);
    }
  }
  // transformers has a class for this type, but no config that would lead to it.
  if (named.empty() && type == "code_llama") return TokenizerClass::kBackend;
  return class_of(folder, named.empty() ? registered : named);
}

}  // namespace twofour::text
