"""Checks published architectures as their own code starts them, with their own loss.

    python benchmarks/published.py               # a table; exit code 1 where an error or a warning is found
    python benchmarks/published.py --only bert

The architectures are those of Hugging Face's transformers, built small from their configurations: random weights, no
download. Tokens are drawn uniformly, images and sounds are normal noise, labels are drawn uniformly; the loss is the
model's own. A network as its authors start it trains, so that every error or warning is a false alarm until a sentence
in ``DEFENDED`` says why it is right.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from transformers import CONFIG_MAPPING

import gainstage as gs

LARGEST = 30_000_000  # parameters
EXAMPLES, TOKENS, VOCABULARY, CLASSES, PIXELS = 8, 16, 99, 4, 32

SMALL: dict[str, Any] = {
    "hidden_size": 32, "d_model": 32, "n_embd": 32, "dim": 32, "embed_dim": 32, "embedding_size": 32, "n_embed": 32,
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "encoder_layers": 2, "decoder_layers": 2,
    "num_encoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 4, "n_head": 4, "n_heads": 4,
    "num_heads": 4, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 64, "ffn_dim": 64, "n_inner": 64, "hidden_dim": 64, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "d_ff": 64, "d_kv": 8, "d_inner": 64, "head_dim": 8, "d_head": 8, "dim_ff": 64,
    "vocab_size": VOCABULARY, "max_position_embeddings": 64, "n_positions": 64, "type_vocab_size": 2,
    "image_size": PIXELS, "patch_size": 8, "num_channels": 3, "num_experts": 4, "num_local_experts": 4,
    "num_experts_per_tok": 2, "moe_intermediate_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1, "rotary_dim": 8, "attention_head_size": 8, "attention_hidden_size": 32,
    "state_size": 8, "num_labels": CLASSES, "ffn_hidden_size": 64, "kv_lora_rank": 8, "q_lora_rank": 16,
    "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4, "n_group": 1, "topk_group": 1,
    "first_k_dense_replace": 1, "n_shared_experts": 1, "lru_width": 32, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4, "multi_query": False, "initializer_layers": 2, "emb_dim": 32,
    "word_embed_proj_dim": 32, "shared_expert_intermediate_size": 64, "sliding_window": 8, "hidden_act_layers": 2,
}  # fmt: skip
"""What makes a configuration small, where it has an entry of that name and kind."""

LANGUAGE = """apertus arcee bert-generation bigbird_pegasus biogpt bitnet blenderbot-small bloom codegen cohere cohere2
    ctrl dbrx deepseek_v2 diffllama doge dots1 ernie4_5 exaone4 falcon falcon_mamba fuyu gemma gemma2 glm glm4 gpt2
    gpt_bigcode gpt_neo gpt_neox gpt_neox_japanese gptj granite granitemoe helium hunyuan_v1_dense jamba jetmoe lfm2
    llama mamba mamba2 minimax mistral mixtral modernbert-decoder mpt nemotron olmo olmo2 olmoe openai-gpt opt persimmon
    phi phi3 phimoe qwen2 qwen2_moe qwen3 qwen3_moe recurrent_gemma rwkv seed_oss smollm3 stablelm starcoder2 vaultgemma
    xglm xlnet zamba"""
MASKED = """albert bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie esm
    flaubert fnet funnel ibert layoutlm longformer luke megatron-bert mobilebert modernbert mpnet mra nezha
    nystromformer
    rembert roberta roberta-prelayernorm roc_bert roformer squeezebert xlm xlm-roberta xlm-roberta-xl xmod yoso"""
SEQUENCES = """bart blenderbot fsmt led longt5 m2m_100 marian mbart mt5 mvp nllb-moe pegasus pegasus_x plbart prophetnet
    switch_transformers t5 umt5"""
IMAGES = """beit bit convnext convnextv2 cvt data2vec-vision deit dinov2 dinov2_with_registers efficientnet focalnet
    hiera ijepa levit mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 poolformer pvt pvt_v2 regnet resnet segformer
    swiftformer swin swinv2 textnet van vit vit_msn"""
SOUNDS = """audio-spectrogram-transformer data2vec-audio hubert sew sew-d unispeech unispeech-sat wav2vec2
    wav2vec2-conformer wavlm"""

TASKS = {
    "causal": (LANGUAGE, "AutoModelForCausalLM"),
    "masked": (MASKED, "AutoModelForMaskedLM"),
    "sequence": (SEQUENCES, "AutoModelForSeq2SeqLM"),
    "image": (IMAGES, "AutoModelForImageClassification"),
    "sound": (SOUNDS, "AutoModelForAudioClassification"),
}

ITS_OWN: dict[str, dict[str, Any]] = {
    "mobilebert": {"embedding_size": 16},  # as wide as the body it would leave a layer of no inputs
    "pegasus": {"scale_embedding": True},  # as in the published checkpoints; the default leaves words at 0.02
}
"""What single configurations need beside."""

DEFENDED: dict[tuple[str, str], str] = {
    ("rwkv", "GS402"): "Embeddings start at 1e-4, so that their variance of 1e-8 drowns in the eps of the first norm.",
    ("mobilenet_v1", "GS112"): "Its configuration drops 0.999 of the features in front of the classifier.",
    ("mobilenet_v2", "GS112"): "Its configuration drops 0.8 of the features in front of the classifier.",
    (
        "mobilevit",
        "GS402",
    ): "Its code draws the scales of batch norms with spread 0.02: 1/50 of the signal passes each.",
    (
        "mt5",
        "GS502",
    ): "The untied output layer is drawn with spread 1, so that the loss starts at 19 where log C is 4.6.",
    ("phimoe", "GS203"): "One router's experts all win by so much that their weight is one and its slope zero.",
}
"""Findings that are right: (architecture, code) to a sentence."""


def small(kind: str) -> Any:
    """A configuration with every size that it has set to a small one."""
    config = CONFIG_MAPPING[kind]()
    known = config.to_dict()
    for name, value in SMALL.items():
        current = known.get(name)
        if (
            isinstance(current, int)
            and not isinstance(value, str)
            and isinstance(current, bool) == isinstance(value, bool)
        ):
            setattr(config, name, value)
    config.num_labels, config.decoder_start_token_id, config.pad_token_id = CLASSES, 1, 0
    for name, value in ITS_OWN.get(kind, {}).items():
        setattr(config, name, value)
    return config


def batch(task: str, config: Any) -> dict[str, torch.Tensor]:
    """Inputs and labels for a task, drawn anew from the same seed."""
    torch.manual_seed(1)
    if task in ("causal", "masked", "sequence"):
        tokens = torch.randint(5, VOCABULARY, (EXAMPLES, TOKENS))
        return {
            "input_ids": tokens,
            "labels": torch.randint(5, VOCABULARY, tokens.shape) if task != "causal" else tokens,
        }
    labels = torch.randint(0, CLASSES, (EXAMPLES,))
    if task == "image":
        size = config.image_size if isinstance(getattr(config, "image_size", None), int) else 64
        return {"pixel_values": torch.randn(EXAMPLES, 3, size, size), "labels": labels}
    if config.model_type == "audio-spectrogram-transformer":
        return {"input_values": torch.randn(EXAMPLES, config.max_length, config.num_mel_bins), "labels": labels}
    return {"input_values": torch.randn(EXAMPLES, 4000), "labels": labels}


def architectures(only: str = "") -> Iterator[tuple[str, str, str]]:
    """Task, kind of configuration, and the class that builds its model with a head."""
    for task, (names, builder) in TASKS.items():
        for kind in names.split():
            if only in kind and kind in CONFIG_MAPPING:
                yield task, kind, builder


def look(task: str, kind: str, builder: str) -> tuple[str, list[str], float]:
    """The verdict on one architecture: ``not built``, ``healthy`` or the codes, with the evidence; seconds."""
    start = time.perf_counter()
    try:
        torch.manual_seed(0)
        config = small(kind)
        with torch.device("meta"):
            size = sum(p.numel() for p in getattr(transformers, builder).from_config(config).parameters())
        if size > LARGEST:
            raise MemoryError(f"{size:,} parameters")
        model = getattr(transformers, builder).from_config(config).train()
        inputs = batch(task, config)
        with torch.no_grad():
            model(**inputs)
    except Exception as error:
        return f"not built ({type(error).__name__})", [str(error)[:90]], time.perf_counter() - start
    try:
        diagnosis = gs.check(model, inputs)
    except Exception as error:
        return f"refused ({type(error).__name__})", [str(error)[:300]], time.perf_counter() - start
    found = [f for f in diagnosis.findings if f.severity != "note" and (kind, f.code) not in DEFENDED]
    words = [f"{f.severity} {f.code} {f.path}: {f.evidence}" for f in found]
    return " ".join(f.code for f in found) or "healthy", words, time.perf_counter() - start


def main() -> None:
    """Check them all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a name")
    only = parser.parse_args().only
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    built = wrong = 0
    print("| task | architecture | verdict | seconds |\n|---|---|---|---|")
    for task, kind, builder in architectures(only):
        verdict, words, seconds = look(task, kind, builder)
        print(f"| {task} | {kind} | {verdict} | {seconds:.1f} |", flush=True)
        built += not verdict.startswith("not built")
        if verdict != "healthy":
            wrong += not verdict.startswith("not built")
            print("\n".join(f"    {w}" for w in words), file=sys.stderr, flush=True)
    print("\nDefended:", *(f"- {kind} {code}: {why}" for (kind, code), why in DEFENDED.items()), sep="\n")
    print(f"\n{built} architectures, {wrong} with an error or a warning")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
