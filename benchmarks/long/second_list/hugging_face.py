"""Configurations of Hugging Face's transformers, small, as their own code starts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from second_list.case import Case, ids, images, vectors

__all__ = ["HUGGING_FACE"]

VOCABULARY, CLASSES = 200, 10
COMMON: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 160, "max_position_embeddings": 64, **COMMON,
}  # fmt: skip
PICTURE: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 160, "image_size": 32,
    "patch_size": 8, "num_channels": 3, "num_labels": CLASSES,
}  # fmt: skip
MAPS: dict[str, Any] = {"num_channels": 3, "num_labels": CLASSES}
BOTH: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 160, "decoder_ffn_dim": 160, "max_position_embeddings": 64,
    "decoder_start_token_id": 1, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0, **COMMON,
}  # fmt: skip
SOUND: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 160, "layerdrop": 0.0,
    "conv_dim": (32, 32, 32), "conv_stride": (5, 4, 4), "conv_kernel": (10, 8, 4), "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4, "num_labels": CLASSES, "mask_time_prob": 0.0, "apply_spec_augment": False,
    "classifier_proj_size": 32,
}  # fmt: skip


class Logits(nn.Module):
    """A model of the library that takes one tensor and returns its logits alone."""

    def __init__(self, model: nn.Module, argument: str, **more: Any) -> None:
        super().__init__()
        self.model, self.argument, self.more = model, argument, more

    def forward(self, x):
        both = {"decoder_input_ids": x} if self.argument == "both" else {}
        argument = "input_ids" if self.argument == "both" else self.argument
        return self.model(**{argument: x}, **both, **self.more).logits


def named(model: str, argument: str, settings: dict[str, Any], **more: Any) -> Callable[[], nn.Module]:
    """A builder of a model class of the library; ``more`` goes into the call."""

    def build() -> nn.Module:
        import transformers

        kind = getattr(transformers, model)
        return Logits(kind(kind.config_class(**settings)), argument, **more)

    return build


def language(name: str, model: str, style: str = "causal", **settings: Any) -> Case:
    return Case(name, style, named(model, "input_ids", TEXT | settings, use_cache=False), ids(24, VOCABULARY))


def masked(name: str, model: str, style: str = "masked", *, class_token: bool = False, **settings: Any) -> Case:
    return Case(name, style, named(model, "input_ids", TEXT | settings), ids(24, VOCABULARY), class_token)


def sequences(name: str, model: str, settings: dict[str, Any], style: str = "encoder–decoder") -> Case:
    return Case(name, style, named(model, "both", settings, use_cache=False), ids(16, VOCABULARY))


def vision(
    name: str, model: str, style: str, settings: dict[str, Any], *, class_token: bool = False, size: int = 32
) -> Case:
    return Case(name, style, named(model, "pixel_values", settings), images(size), class_token)


def sound(name: str, model: str, **settings: Any) -> Case:
    return Case(name, "sound", named(model, "input_values", SOUND | settings), vectors(1600))


MOE: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 16}
HUGGING_FACE = (
    language("gpt-neox", "GPTNeoXForCausalLM", "parallel residual"),
    language("gpt-j", "GPTJForCausalLM", "parallel residual", n_embd=64, n_layer=3, n_head=4, rotary_dim=8),
    language("opt", "OPTForCausalLM", "causal", ffn_dim=160, word_embed_proj_dim=64),
    language("bloom", "BloomForCausalLM", "linear biases", n_layer=3, n_head=4),
    language("falcon", "FalconForCausalLM", "parallel residual, one key"),
    language("qwen2", "Qwen2ForCausalLM", num_key_value_heads=2),
    language("qwen3", "Qwen3ForCausalLM", "norms on queries and keys", **MOE),
    language("gemma", "GemmaForCausalLM", "scaled embeddings", **MOE),
    language("gemma2", "Gemma2ForCausalLM", "norms before and behind", **MOE),
    language("olmo2", "Olmo2ForCausalLM", "norms behind"),
    language("phi", "PhiForCausalLM", "parallel residual"),
    language("phi3", "Phi3ForCausalLM", "packed gate"),
    language("stablelm", "StableLmForCausalLM", num_key_value_heads=4),
    language("cohere", "CohereForCausalLM", "parallel residual, scaled logits", num_key_value_heads=2),
    language("granite", "GraniteForCausalLM", "multipliers"),
    language("persimmon", "PersimmonForCausalLM", "squared relu"),
    language("starcoder2", "Starcoder2ForCausalLM", num_key_value_heads=2),
    language("mixtral", "MixtralForCausalLM", "mixture of experts", num_local_experts=4, num_key_value_heads=2),
    language("qwen2-moe", "Qwen2MoeForCausalLM", "mixture of experts", num_experts=4, moe_intermediate_size=96,
             shared_expert_intermediate_size=96, num_experts_per_tok=2, num_key_value_heads=2),
    language("mamba", "MambaForCausalLM", "state space", state_size=8, time_step_rank=8),
    language("mamba2", "Mamba2ForCausalLM", "state space", state_size=8, num_heads=8, head_dim=16, n_groups=1,
             chunk_size=8),
    language("recurrent-gemma", "RecurrentGemmaForCausalLM", "gated recurrence", lru_width=64),
    language("rwkv", "RwkvForCausalLM", "recurrent attention", attention_hidden_size=64),
    Case("xlnet", "relative positions", named("XLNetLMHeadModel", "input_ids", {
        "vocab_size": VOCABULARY, "d_model": 64, "n_layer": 3, "n_head": 4, "d_inner": 160, **COMMON}),
        ids(24, VOCABULARY)),
    language("codegen", "CodeGenForCausalLM", "packed projections", n_embd=64, n_layer=3, n_head=4, rotary_dim=8,
             n_ctx=64, n_positions=64),
    masked("roberta", "RobertaForMaskedLM"),
    masked("albert", "AlbertForMaskedLM", "shared layers", embedding_size=32),
    masked("electra", "ElectraForMaskedLM", "narrow embedding", embedding_size=32),
    masked("distilbert", "DistilBertForMaskedLM", dim=64, n_layers=3, n_heads=4, hidden_dim=160),
    masked("deberta-v2", "DebertaV2ForMaskedLM", "disentangled positions", relative_attention=True,
           pos_att_type=["p2c", "c2p"]),
    masked("mpnet", "MPNetForMaskedLM", "relative positions"),
    masked("fnet", "FNetForMaskedLM", "fourier mixing"),
    masked("convbert", "ConvBertForMaskedLM", "dynamic convolution", embedding_size=64),
    masked("squeezebert", "SqueezeBertForMaskedLM", "grouped projections", embedding_size=64),
    masked("modernbert", "ModernBertForMaskedLM", "alternating windows", global_attn_every_n_layers=2),
    masked("bert, pooled", "BertForSequenceClassification", "pooling of one token", class_token=True),
    masked("roberta, pooled", "RobertaForSequenceClassification", "pooling of one token", class_token=True),
    masked("xlm-roberta-xl", "XLMRobertaXLForMaskedLM", "pre-norm"),
    sequences("bart", "BartForConditionalGeneration", BOTH),
    sequences("mbart", "MBartForConditionalGeneration", BOTH),
    sequences("pegasus", "PegasusForConditionalGeneration", BOTH),
    sequences("t5", "T5ForConditionalGeneration", {
        "vocab_size": VOCABULARY, "d_model": 64, "d_kv": 16, "d_ff": 160, "num_layers": 2, "num_heads": 4,
        "decoder_start_token_id": 1, **COMMON}),
    sequences("umt5", "UMT5ForConditionalGeneration", {
        "vocab_size": VOCABULARY, "d_model": 64, "d_kv": 16, "d_ff": 160, "num_layers": 2, "num_heads": 4,
        "decoder_start_token_id": 1, **COMMON}),
    vision("vit", "ViTForImageClassification", "class token", PICTURE, class_token=True),
    vision("deit", "DeiTForImageClassification", "class token", PICTURE, class_token=True),
    vision("beit", "BeitForImageClassification", "layer scale, relative positions", PICTURE | {
        "use_relative_position_bias": True, "out_indices": (1, 2)}, class_token=True),
    vision("dinov2", "Dinov2ForImageClassification", "layer scale, class token", PICTURE, class_token=True),
    vision("dinov2-registers", "Dinov2WithRegistersForImageClassification", "registers", PICTURE, class_token=True),
    vision("vit-msn", "ViTMSNForImageClassification", "class token", PICTURE, class_token=True),
    vision("swin", "SwinForImageClassification", "windows with padding", MAPS | {
        "image_size": 40, "patch_size": 2, "embed_dim": 32, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4},
        size=40),
    vision("swinv2", "Swinv2ForImageClassification", "cosine windows", MAPS | {
        "image_size": 32, "patch_size": 2, "embed_dim": 32, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}),
    vision("convnext", "ConvNextForImageClassification", "layer scale", MAPS | {
        "hidden_sizes": [32, 64], "depths": [2, 2], "num_stages": 2, "patch_size": 2}),
    vision("convnextv2", "ConvNextV2ForImageClassification", "response normalisation", MAPS | {
        "hidden_sizes": [32, 64], "depths": [2, 2], "num_stages": 2, "patch_size": 2}),
    vision("regnet", "RegNetForImageClassification", "grouped, squeeze", MAPS | {
        "embedding_size": 32, "hidden_sizes": [32, 64], "depths": [2, 2], "groups_width": 16}),
    vision("bit", "BitForImageClassification", "weight standardisation", MAPS | {
        "embedding_size": 64, "hidden_sizes": [128, 256], "depths": [2, 2]}),
    vision("mobilenet-v2", "MobileNetV2ForImageClassification", "inverted residuals", MAPS | {
        "image_size": 64, "depth_multiplier": 0.5, "classifier_dropout_prob": 0.2}, size=64),
    vision("efficientnet", "EfficientNetForImageClassification", "squeeze in inverted residuals", MAPS | {
        "image_size": 64, "width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 640,
        "drop_connect_rate": 0.0}, size=64),
    vision("levit", "LevitForImageClassification", "pyramid of attention", {
        "image_size": 64, "num_labels": CLASSES, "hidden_sizes": [64, 96, 128], "num_attention_heads": [4, 6, 8],
        "depths": [1, 1, 1]}, size=64),
    vision("poolformer", "PoolFormerForImageClassification", "layer scale, pooling", MAPS | {
        "hidden_sizes": [32, 32, 64, 64], "depths": [1, 1, 1, 1]}, size=64),
    vision("focalnet", "FocalNetForImageClassification", "focal modulation", MAPS | {
        "image_size": 32, "patch_size": 2, "embed_dim": 32, "depths": [2, 2], "focal_levels": [2, 2],
        "focal_windows": [3, 3]}),
    vision("pvt-v2", "PvtV2ForImageClassification", "reduced attention", {
        "num_labels": CLASSES, "image_size": 64, "hidden_sizes": [32, 64, 64, 96], "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 2, 4]}, size=64),
    vision("segformer", "SegformerForImageClassification", "mixed feed-forward", MAPS | {
        "hidden_sizes": [32, 64, 64, 96], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 4],
        "decoder_hidden_size": 64}, size=64),
    vision("mobilevit", "MobileViTForImageClassification", "attention over folded patches", MAPS | {
        "image_size": 64, "hidden_sizes": [48, 64, 64], "neck_hidden_sizes": [8, 16, 24, 32, 48, 64, 128]}, size=64),
    vision("hiera", "HieraForImageClassification", "masked units", MAPS | {
        "image_size": [32, 32], "patch_size": [3, 3], "patch_stride": [2, 2], "patch_padding": [1, 1], "embed_dim": 32,
        "depths": [1, 1, 2], "num_heads": [1, 2, 4], "masked_unit_size": [4, 4], "num_query_pool": 2,
        "embed_dim_multiplier": 2.0}),
    vision("swiftformer", "SwiftFormerForImageClassification", "additive attention, layer scale", MAPS | {
        "image_size": 64, "depths": [1, 1, 1, 1], "embed_dims": [32, 32, 64, 64]}, size=64),
    vision("siglip-vision", "SiglipForImageClassification", "attention pooling", {
        "num_labels": CLASSES, "vision_config": {k: v for k, v in PICTURE.items() if k != "num_labels"}}),
    sound("wav2vec2", "Wav2Vec2ForSequenceClassification"),
    sound("hubert", "HubertForSequenceClassification"),
    sound("wavlm", "WavLMForSequenceClassification"),
)  # fmt: skip
