#include "twofour/checkpoint/config_fields.h"

#include <algorithm>
#include <cctype>

namespace twofour::checkpoint {

const std::vector<ConfigField>& config_fields() {
  using Json = nlohmann::json;
  using enum FieldRole;
  static const std::vector<ConfigField> kFields = {
      {"_remove_final_layer_norm", kUsed, {}},
      {"activation_function", kUsed, {}},
      {"add_cross_attention", kFixed, {false}},
      {"architectures", kUsed, {}},
      {"assistant_confidence_threshold", kHarmless, {}},
      {"assistant_lookbehind", kHarmless, {}},
      {"attention_bias", kUsed, {}},
      {"attention_chunk_size", kFixed, {}},
      {"attention_dropout", kHarmless, {}},
      {"attn_implementation", kHarmless, {}},
      {"attn_pdrop", kHarmless, {}},
      {"auto_map", kHarmless, {}},
      {"bad_words_ids", kHarmless, {}},
      {"batch_size", kHarmless, {}},
      {"begin_suppress_tokens", kHarmless, {}},
      {"block_size", kHarmless, {}},
      {"bos_token", kHarmless, {}},
      {"bos_token_id", kUsed, {}},
      {"chunk_size_feed_forward", kHarmless, {}},
      {"classifier_dropout", kHarmless, {}},
      {"clean_up_tokenization_spaces", kHarmless, {}},
      {"cls_token_id", kHarmless, {}},
      {"context_window_size", kHarmless, {}},
      {"cross_attention_hidden_size", kFixed, {}},
      {"decoder_start_token_id", kHarmless, {}},
      {"device", kHarmless, {}},
      {"diversity_penalty", kHarmless, {}},
      {"do_layer_norm_before", kUsed, {}},
      {"do_sample", kHarmless, {}},
      {"dropout", kHarmless, {}},
      {"dtype", kHarmless, {}},
      {"early_stopping", kHarmless, {}},
      {"embd_dropout", kHarmless, {}},
      {"embd_pdrop", kHarmless, {}},
      {"enable_bias", kUsed, {}},
      {"encoder_no_repeat_ngram_size", kHarmless, {}},
      {"encoder_repetition_penalty", kHarmless, {}},
      {"eos_token", kHarmless, {}},
      {"eos_token_id", kUsed, {}},
      {"epsilon_cutoff", kHarmless, {}},
      {"eta_cutoff", kHarmless, {}},
      {"experts_implementation", kHarmless, {}},
      {"exponential_decay_length_penalty", kHarmless, {}},
      {"ffn_dim", kUsed, {}},
      {"finetuning_task", kHarmless, {}},
      {"flash_attention", kHarmless, {}},
      {"forced_bos_token_id", kHarmless, {}},
      {"forced_eos_token_id", kHarmless, {}},
      {"gradient_checkpointing", kHarmless, {}},
      {"head_dim", kUsed, {}},
      {"hidden_act", kUsed, {}},
      {"hidden_dropout", kHarmless, {}},
      {"hidden_dropout_prob", kHarmless, {}},
      {"hidden_size", kUsed, {}},
      {"id2label", kHarmless, {}},
      {"init_std", kHarmless, {}},
      {"initializer_range", kHarmless, {}},
      {"intermediate_size", kUsed, {}},
      {"is_causal", kFixed, {true}},
      {"is_decoder", kHarmless, {}},
      {"is_encoder_decoder", kFixed, {false}},
      {"is_llama_config", kHarmless, {}},
      {"keys_to_ignore_at_inference", kHarmless, {}},
      {"kv_sharing_modes", kFixed, {}},
      {"label2id", kHarmless, {}},
      {"language", kHarmless, {}},
      {"layer_norm_elementwise_affine", kUsed, {}},
      {"layer_norm_eps", kUsed, {}},
      {"layer_norm_epsilon", kUsed, {}},
      {"layer_types", kUsed, {}},
      {"layerdrop", kHarmless, {}},
      {"length_penalty", kHarmless, {}},
      {"license", kHarmless, {}},
      {"mask_token_id", kHarmless, {}},
      {"max_length", kHarmless, {}},
      {"max_position_embeddings", kUsed, {}},
      {"max_sequence_length", kHarmless, {}},
      {"max_window_layers", kUsed, {}},
      {"min_length", kHarmless, {}},
      {"mlp_bias", kUsed, {}},
      {"model_max_length", kHarmless, {}},
      {"model_name", kHarmless, {}},
      {"model_type", kUsed, {}},
      {"n_ctx", kHarmless, {}},
      {"n_embd", kUsed, {}},
      {"n_head", kUsed, {}},
      {"n_inner", kUsed, {}},
      {"n_layer", kUsed, {}},
      {"n_positions", kUsed, {}},
      {"n_special", kHarmless, {}},
      {"name_or_path", kHarmless, {}},
      {"no_repeat_ngram_size", kHarmless, {}},
      {"num_assistant_tokens", kHarmless, {}},
      {"num_assistant_tokens_schedule", kHarmless, {}},
      {"num_attention_heads", kUsed, {}},
      {"num_beam_groups", kHarmless, {}},
      {"num_beams", kHarmless, {}},
      {"num_hidden_layers", kUsed, {}},
      {"num_key_value_heads", kUsed, {}},
      {"num_labels", kHarmless, {}},
      {"num_return_sequences", kHarmless, {}},
      {"original_max_position_embeddings", kUsed, {}},
      {"output_attentions", kHarmless, {}},
      {"output_hidden_states", kHarmless, {}},
      {"output_past", kHarmless, {}},
      {"output_scores", kHarmless, {}},
      {"pad_token", kHarmless, {}},
      {"pad_token_id", kHarmless, {}},
      {"partial_rotary_factor", kUsed, {}},
      {"per_layer_config", kFixed, {Json::object()}},
      {"predict_special_tokens", kHarmless, {}},
      {"prefill_chunk_size", kHarmless, {}},
      {"prefix", kHarmless, {}},
      {"pretraining_tp", kHarmless, {}},
      {"problem_type", kHarmless, {}},
      {"pruned_heads", kFixed, {Json::object()}},
      {"quantization_config", kUsed, {}},
      {"remove_invalid_values", kHarmless, {}},
      {"reorder_and_upcast_attn", kHarmless, {}},
      {"repetition_penalty", kHarmless, {}},
      {"resid_pdrop", kHarmless, {}},
      {"return_dict", kHarmless, {}},
      {"return_dict_in_generate", kHarmless, {}},
      {"rms_norm_eps", kUsed, {}},
      {"rope_interleaved", kFixed, {false}},
      {"rope_parameters", kUsed, {}},
      {"rope_scaling", kUsed, {}},
      {"rope_theta", kUsed, {}},
      {"rotary_emb_base", kUsed, {}},
      {"rotary_pct", kUsed, {}},
      {"scale_attn_by_inverse_layer_idx", kFixed, {false}},
      {"scale_attn_weights", kFixed, {true}},
      {"sep_token_id", kHarmless, {}},
      {"sliding_window", kUsed, {}},
      {"summary_activation", kHarmless, {}},
      {"summary_first_dropout", kHarmless, {}},
      {"summary_proj_to_labels", kHarmless, {}},
      {"summary_type", kHarmless, {}},
      {"summary_use_proj", kHarmless, {}},
      {"suppress_tokens", kHarmless, {}},
      {"target_lookbehind", kHarmless, {}},
      {"task_specific_params", kHarmless, {}},
      {"temperature", kHarmless, {}},
      {"tf_legacy_loss", kHarmless, {}},
      {"tie_encoder_decoder", kFixed, {false}},
      {"tie_last_hidden_states", kHarmless, {}},
      {"tie_word_embeddings", kUsed, {}},
      {"tokenizer_class", kHarmless, {}},
      {"top_k", kHarmless, {}},
      {"top_p", kHarmless, {}},
      {"torch_dtype", kHarmless, {}},
      {"torchscript", kHarmless, {}},
      {"transformers.js_config", kHarmless, {}},
      {"transformers_version", kHarmless, {}},
      {"transformers_weights", kFixed, {}},
      {"typical_p", kHarmless, {}},
      {"unk_token", kHarmless, {}},
      {"unk_token_id", kHarmless, {}},
      {"unsloth_fixed", kHarmless, {}},
      {"unsloth_version", kHarmless, {}},
      {"use_bfloat16", kHarmless, {}},
      {"use_cache", kHarmless, {}},
      {"use_flash_attention", kHarmless, {}},
      {"use_flash_attention_2", kHarmless, {}},
      {"use_flash_attn", kHarmless, {}},
      {"use_mrope", kFixed, {false}},
      {"use_parallel_residual", kUsed, {}},
      {"use_sliding_window", kUsed, {}},
      {"vocab_size", kUsed, {}},
      {"word_embed_proj_dim", kUsed, {}},
  };
  return kFields;
}

bool suggests_arithmetic(std::string_view name) {
  // Words in the names of fields that change a decoder's computation in transformers without
  // another tensor or shape. Sizes are absent: they show in the tensors, whose names and shapes are
  // checked.
  static const std::vector<std::string_view> kAnywhere = {
      "activation", "alibi",  "attention", "attn",  "bias",   "causal", "clamp", "epsilon",
      "expert",     "factor", "logit",     "lora",  "norm",   "quant",  "resid", "rotary",
      "router",     "scal",   "softcap",   "spars", "temper", "theta",  "window"};
  // Short ones must begin a word, so that "properties" does not match "rope".
  static const std::vector<std::string_view> kAtWords = {
      "_act", "_alpha",  "_beta", "_cap",  "_chunk", "_clip", "_cross", "_freq", "_gate", "_gating",
      "_kv",  "_lambda", "_moe",  "_mult", "_mup",   "_rope", "_share", "_sink", "_skip", "_tie"};
  // Only for training, whatever else the name contains: router_aux_loss_coef, residual_dropout.
  static const std::vector<std::string_view> kTraining = {"drop", "loss", "_init"};
  std::string words;
  for (const char c : name) {
    const auto letter = static_cast<unsigned char>(c);
    const bool begins = words.empty() || std::isupper(letter);
    if (begins || !std::isalnum(letter)) words += '_';
    if (std::isalnum(letter)) words += static_cast<char>(std::tolower(letter));
  }
  const auto is_in_name = [&](std::string_view word) {
    return words.find(word) != std::string::npos;
  };
  const auto holds = [&](const std::vector<std::string_view>& list) {
    return std::any_of(list.begin(), list.end(), is_in_name);
  };
  return (holds(kAnywhere) || holds(kAtWords)) && !holds(kTraining);
}

}  // namespace twofour::checkpoint
