"""Published architectures in small configurations, whose weights the library's own code draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starts_exam.case import Case, accuracy, adam, held_out
from torch import nn
from torch.nn import functional as F

from published_nets.tasks import LENGTH, SYMBOLS, VOCABULARY, colour_images, copied_text, masked_text, sounds, text

__all__ = ["hugging_face_cases"]

CLASSES, RATE = 10, 1e-3
STEPS = {"vision": 60, "language": 80, "audio": 80}
BATCH = {"vision": 16, "language": 32, "audio": 32}
SPECIAL: dict[str, Any] = {"pad_token_id": 60, "bos_token_id": 61, "eos_token_id": 62}
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 96, "max_position_embeddings": LENGTH, "use_cache": False, **SPECIAL,
}  # fmt: skip
SEQUENCES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 48, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "max_position_embeddings": LENGTH,
    "decoder_start_token_id": SYMBOLS, "use_cache": False, **SPECIAL,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96, "image_size": 32,
    "patch_size": 8, "num_labels": CLASSES,
}  # fmt: skip
WINDOWS: dict[str, Any] = {
    "image_size": 32, "patch_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4,
    "num_labels": CLASSES,
}  # fmt: skip
STAGES: dict[str, Any] = {"hidden_sizes": [24, 48], "depths": [2, 2], "num_labels": CLASSES}


class Logits(nn.Module):
    """A model of the library as a function of tensors that returns its logits alone."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors):
        return self.model(**dict(zip(self.names, tensors, strict=True))).logits


def built(kind: str, names: tuple[str, ...], settings: dict[str, Any]) -> Callable[[], nn.Module]:
    """A builder of a model class of the library."""

    def build() -> nn.Module:
        import transformers

        model = getattr(transformers, kind)
        return Logits(model(model.config_class(**settings)), names)

    return build


def per_symbol(logits, labels):
    """Cross-entropy of all labels that are not -100, in nats."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def case(name: str, field: str, build, data, metric, loss) -> Case:
    return Case(
        name=name, field=field, build=build, data=data, loss=loss, optimizer=adam, rate=RATE, steps=STEPS[field],
        batch=BATCH[field], metric=metric,
    )  # fmt: skip


def vision(name: str, kind: str, settings: dict[str, Any]) -> Case:
    build = built(kind, ("pixel_values",), settings)
    return case(name, "vision", build, colour_images, accuracy(CLASSES), F.cross_entropy)


def language(name: str, kind: str, data=text, names: tuple[str, ...] = ("input_ids",), **settings: Any) -> Case:
    base = SEQUENCES if len(names) > 1 else TEXT
    metric = held_out("cross-entropy", per_symbol, chance=3.871)  # log 48
    return case(name, "language", built(kind, names, base | settings), data, metric, per_symbol)


def masked(name: str, kind: str, **settings: Any) -> Case:
    return language(name, kind, masked_text, **settings)


def copying(name: str, kind: str, **settings: Any) -> Case:
    return language(name, kind, copied_text, ("input_ids", "decoder_input_ids"), **settings)


def whisper() -> Case:
    settings = SEQUENCES | {
        "num_mel_bins": 16, "max_source_positions": 16, "max_target_positions": 8, "begin_suppress_tokens": None,
    }  # fmt: skip
    build = built("WhisperForConditionalGeneration", ("input_features", "decoder_input_ids"), settings)
    metric = held_out("cross-entropy", per_symbol, chance=2.485)  # log 12
    return case("whisper", "audio", build, sounds, metric, per_symbol)


def hugging_face_cases() -> tuple[Case, ...]:
    """Return the configurations of vision, language and speech."""
    return (
        vision("resnet", "ResNetForImageClassification", STAGES | {
            "embedding_size": 24, "layer_type": "basic"}),
        vision("convnext", "ConvNextForImageClassification", STAGES | {"num_stages": 2, "patch_size": 4}),
        vision("convnextv2", "ConvNextV2ForImageClassification", STAGES | {"num_stages": 2, "patch_size": 4}),
        vision("regnet", "RegNetForImageClassification", STAGES | {"embedding_size": 24, "groups_width": 8}),
        vision("mobilenet-v1", "MobileNetV1ForImageClassification", {
            "image_size": 32, "depth_multiplier": 0.25, "min_depth": 8, "num_labels": CLASSES}),
        vision("mobilenet-v2", "MobileNetV2ForImageClassification", {
            "image_size": 32, "depth_multiplier": 0.35, "num_labels": CLASSES}),
        vision("efficientnet", "EfficientNetForImageClassification", {
            "image_size": 32, "width_coefficient": 0.3, "depth_coefficient": 0.2, "hidden_dim": 384,
            "num_labels": CLASSES}),
        vision("poolformer", "PoolFormerForImageClassification", {
            "hidden_sizes": [24, 24, 48, 48], "depths": [1, 1, 1, 1], "num_labels": CLASSES}),
        vision("vit", "ViTForImageClassification", VISION),
        vision("deit", "DeiTForImageClassification", VISION),
        vision("dinov2", "Dinov2ForImageClassification", VISION),
        vision("swin", "SwinForImageClassification", WINDOWS),
        vision("swinv2", "Swinv2ForImageClassification", WINDOWS),
        language("gpt2", "GPT2LMHeadModel", n_embd=48, n_layer=3, n_head=4, n_positions=LENGTH),
        language("gpt-neox", "GPTNeoXForCausalLM"),
        language("llama", "LlamaForCausalLM"),
        language("qwen3", "Qwen3ForCausalLM", num_key_value_heads=2, head_dim=12),
        language("gemma", "GemmaForCausalLM", num_key_value_heads=2, head_dim=12),
        language("opt", "OPTForCausalLM", ffn_dim=96, word_embed_proj_dim=48),
        language("bloom", "BloomForCausalLM", n_layer=3, n_head=4),
        language("mamba", "MambaForCausalLM", state_size=8, time_step_rank=4),
        masked("bert", "BertForMaskedLM"),
        masked("roberta", "RobertaForMaskedLM", max_position_embeddings=LENGTH + 61),
        masked("electra", "ElectraForMaskedLM", embedding_size=24),
        masked("fnet", "FNetForMaskedLM"),
        copying("t5", "T5ForConditionalGeneration", d_kv=12, d_ff=96, num_layers=2, num_heads=4),
        copying("bart", "BartForConditionalGeneration"),
        whisper(),
    )  # fmt: skip
