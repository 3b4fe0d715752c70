"""Architectures of the Hugging Face library, built small from their configurations: no weights, no network.

Every one computes its own loss where the library lets it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

from zoo.case import Case

__all__ = ["HUGGING_FACE"]

VOCABULARY, EXAMPLES, TOKENS, CLASSES = 64, 4, 12, 3

TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GROUPED = {**TEXT, "num_key_value_heads": 2}
VISION = {
    "image_size": 16, "patch_size": 4, "num_channels": 3, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 64, "num_labels": CLASSES,
}  # fmt: skip


def ids(length: int = TOKENS, vocabulary: int = VOCABULARY) -> torch.Tensor:
    return torch.randint(3, vocabulary, (EXAMPLES, length))


def causal() -> dict[str, Any]:
    tokens = ids()
    return {"input_ids": tokens, "labels": tokens.clone()}


def masked() -> dict[str, Any]:
    return {"input_ids": ids(), "attention_mask": torch.ones(EXAMPLES, TOKENS), "labels": ids()}


def translation() -> dict[str, Any]:
    return {"input_ids": ids(), "labels": ids(8)}


def classes() -> torch.Tensor:
    return torch.arange(EXAMPLES) % CLASSES


def sentence() -> dict[str, Any]:
    return {"input_ids": ids(), "labels": classes()}


def image(size: int = 16) -> Callable[[], dict[str, Any]]:
    return lambda: {"pixel_values": torch.randn(EXAMPLES, 3, size, size), "labels": classes()}


def build(architecture: str, configuration: str, **options: Any) -> Callable[[], nn.Module]:
    """A model of the library in training mode, without the key-value cache, which would only be returned."""

    def make() -> nn.Module:
        config = getattr(transformers, configuration)(**options)
        if getattr(config, "use_cache", False):
            config.use_cache = False
        return getattr(transformers, architecture)(config).train()

    return make


def case(name: str, architecture: str, configuration: str, inputs: Callable[[], Any], **options: Any) -> Case:
    return Case(name, build(architecture, configuration, **options), inputs, chance=_chance(architecture))


def _chance(architecture: str) -> float | None:
    """The loss at equal probabilities for all words, or all classes."""
    if architecture in ("BertForPreTraining", "Wav2Vec2ForCTC"):
        return None
    if architecture == "ElectraForPreTraining":
        return math.log(2)
    return math.log(CLASSES if architecture.endswith(("Classification", "Segmentation")) else VOCABULARY)


def clip() -> nn.Module:
    text = {**TEXT, "projection_dim": 16}
    vision = {k: v for k, v in VISION.items() if k != "num_labels"}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    return transformers.CLIPModel(config).train()


def captioned() -> dict[str, Any]:
    return {"input_ids": ids(), "pixel_values": torch.randn(EXAMPLES, 3, 16, 16), "return_loss": True}


HUGGING_FACE = (
    case("gpt2", "GPT2LMHeadModel", "GPT2Config", causal, vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4,
         n_positions=32),
    case("bert", "BertForMaskedLM", "BertConfig", masked, **TEXT),
    case("bert pretraining", "BertForPreTraining", "BertConfig",
         lambda: masked() | {"next_sentence_label": torch.arange(EXAMPLES) % 2}, **TEXT),
    case("roberta", "RobertaForMaskedLM", "RobertaConfig", masked, **TEXT),
    case("distilbert", "DistilBertForSequenceClassification", "DistilBertConfig", sentence, vocab_size=VOCABULARY,
         dim=32,
         n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=32, num_labels=CLASSES),
    case("albert", "AlbertForMaskedLM", "AlbertConfig", masked, **TEXT, embedding_size=16),
    case("electra", "ElectraForPreTraining", "ElectraConfig",
         lambda: {"input_ids": ids(), "labels": torch.randint(0, 2, (EXAMPLES, TOKENS))}, **TEXT, embedding_size=16),
    case("deberta", "DebertaV2ForSequenceClassification", "DebertaV2Config", sentence, **TEXT, relative_attention=True,
         pos_att_type=["p2c", "c2p"], num_labels=CLASSES),
    case("mpnet", "MPNetForMaskedLM", "MPNetConfig", masked, **TEXT),
    case("xlnet", "XLNetForSequenceClassification", "XLNetConfig", sentence, vocab_size=VOCABULARY, d_model=32,
         n_layer=2,
         n_head=4, d_inner=64, num_labels=CLASSES, pad_token_id=0),
    case("funnel", "FunnelForSequenceClassification", "FunnelConfig", sentence, vocab_size=VOCABULARY, d_model=32,
         n_head=4, d_head=8, d_inner=64, block_sizes=[1, 1], num_decoder_layers=1, num_labels=CLASSES),
    case("llama", "LlamaForCausalLM", "LlamaConfig", causal, **GROUPED),
    case("mistral", "MistralForCausalLM", "MistralConfig", causal, **GROUPED, sliding_window=8),
    case("mixtral", "MixtralForCausalLM", "MixtralConfig", causal, **GROUPED, num_local_experts=4,
         num_experts_per_tok=2),
    case("qwen2", "Qwen2ForCausalLM", "Qwen2Config", causal, **GROUPED),
    case("qwen3", "Qwen3ForCausalLM", "Qwen3Config", causal, **GROUPED, head_dim=8),
    case("gemma", "GemmaForCausalLM", "GemmaConfig", causal, **GROUPED, head_dim=8),
    case("gemma2", "Gemma2ForCausalLM", "Gemma2Config", causal, **GROUPED, head_dim=8, query_pre_attn_scalar=8),
    case("phi", "PhiForCausalLM", "PhiConfig", causal, **TEXT),
    case("gpt neox", "GPTNeoXForCausalLM", "GPTNeoXConfig", causal, **TEXT),
    case("opt", "OPTForCausalLM", "OPTConfig", causal, vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2,
         num_attention_heads=4, ffn_dim=64, max_position_embeddings=32, word_embed_proj_dim=16),
    case("bloom", "BloomForCausalLM", "BloomConfig", causal, vocab_size=VOCABULARY, hidden_size=32, n_layer=2,
         n_head=4),
    case("falcon", "FalconForCausalLM", "FalconConfig", causal, vocab_size=VOCABULARY, hidden_size=32,
         num_hidden_layers=2, num_attention_heads=4),
    case("mamba", "MambaForCausalLM", "MambaConfig", causal, vocab_size=VOCABULARY, hidden_size=16,
         num_hidden_layers=2, state_size=4),
    case("t5", "T5ForConditionalGeneration", "T5Config", translation, vocab_size=VOCABULARY, d_model=32, d_kv=8,
         d_ff=64,
         num_layers=2, num_heads=4, decoder_start_token_id=0),
    case("bart", "BartForConditionalGeneration", "BartConfig", translation, vocab_size=VOCABULARY, d_model=32,
         encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
         decoder_ffn_dim=64, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
         decoder_start_token_id=2, forced_eos_token_id=2),
    case("vit", "ViTForImageClassification", "ViTConfig", image(), **VISION),
    case("deit", "DeiTForImageClassification", "DeiTConfig", image(), **VISION),
    case("dinov2", "Dinov2ForImageClassification", "Dinov2Config", image(), **{k: v for k,
         v in VISION.items() if k != "intermediate_size"}),
    case("beit", "BeitForImageClassification", "BeitConfig", image(), **VISION),
    case("swin", "SwinForImageClassification", "SwinConfig", image(), image_size=16, patch_size=2, embed_dim=16,
         depths=[1, 1], num_heads=[2, 2], window_size=4, num_labels=CLASSES),
    case("convnext", "ConvNextForImageClassification", "ConvNextConfig", image(32), hidden_sizes=[8, 16, 16, 16],
         depths=[1, 1, 1, 1], num_labels=CLASSES),
    case("resnet", "ResNetForImageClassification", "ResNetConfig", image(32), embedding_size=8, hidden_sizes=[8, 16],
         depths=[1, 1], layer_type="basic", num_labels=CLASSES),
    case("mobilenet", "MobileNetV2ForImageClassification", "MobileNetV2Config", image(32), depth_multiplier=0.25,
         image_size=32, num_labels=CLASSES),
    case("segformer", "SegformerForSemanticSegmentation", "SegformerConfig",
         lambda: {"pixel_values": torch.randn(EXAMPLES, 3, 64, 64), "labels": torch.randint(0, CLASSES, (EXAMPLES,
         64, 64))},  # smaller, and attention would have one key left to look at
         hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 2], decoder_hidden_size=16,
         num_labels=CLASSES),
    Case("clip", clip, captioned),
    case("whisper", "WhisperForConditionalGeneration", "WhisperConfig",
         lambda: {"input_features": torch.randn(EXAMPLES, 8, 40), "labels": ids(6)}, vocab_size=VOCABULARY,
         num_mel_bins=8,
         d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
         encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=20, max_target_positions=16, pad_token_id=0,
         bos_token_id=1, eos_token_id=2, decoder_start_token_id=1),
    case("wav2vec2", "Wav2Vec2ForCTC", "Wav2Vec2Config",
         lambda: {"input_values": torch.randn(EXAMPLES, 800), "labels": torch.randint(1, 16, (EXAMPLES, 4))},
         vocab_size=16,
         hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=(16, 16),
         conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2, num_conv_pos_embeddings=8,
         num_conv_pos_embedding_groups=4, mask_time_length=2, pad_token_id=0),
    case("perceiver", "PerceiverForMaskedLM", "PerceiverConfig", lambda: {"inputs": ids(32), "labels": ids(32)},
         vocab_size=VOCABULARY, d_latents=16, d_model=16, num_latents=8, num_blocks=1, num_self_attends_per_block=2,
         num_self_attention_heads=2, num_cross_attention_heads=2, qk_channels=16, v_channels=16,
         max_position_embeddings=32),
)  # fmt: skip
