"""Which of PyTorch's own operations is which of ours.

Names are those of the ATen schema without overload and without the trailing underscore of in-place variants. What is in
no table is classified by PyTorch's own tags (``pointwise``) and aliasing, or becomes ``UNKNOWN`` and is named.
"""

from __future__ import annotations

from typing import Any, Final

from gainstage.graph import DerivationStep, Operation

__all__ = [
    "ACTIVATIONS", "CREATION", "LOSSES", "NORMALIZATIONS", "RANDOM", "REARRANGEMENTS", "REDUCTIONS", "STRUCTURAL",
    "TRANSPARENT", "base_name", "is_pointwise", "step",
]  # fmt: skip

ACTIVATIONS: Final = {
    "relu": "relu", "leaky_relu": "leaky_relu", "elu": "elu", "celu": "celu", "selu": "selu", "gelu": "gelu",
    "silu": "silu", "mish": "mish", "sigmoid": "sigmoid", "tanh": "tanh", "softplus": "softplus",
    "hardsigmoid": "hardsigmoid", "hardswish": "hardswish", "hardtanh": "hardtanh", "relu6": "relu6",
    "log_sigmoid_forward": "logsigmoid", "log_sigmoid": "logsigmoid", "softshrink": "softshrink",
    "hardshrink": "hardshrink", "threshold": "threshold", "_prelu_kernel": "prelu", "prelu": "prelu",
    "rrelu_with_noise": "rrelu", "rrelu_with_noise_functional": "rrelu", "rrelu": "rrelu", "erf": "erf",
    "sin": "sin", "exp": "exp", "pow": "pow", "glu": "glu",
}  # fmt: skip
"""Elementwise (and ``glu``): ATen name to the name in gainstage's table of activations."""

NORMALIZATIONS: Final = {
    "native_batch_norm": "batch_norm", "_native_batch_norm_legit": "batch_norm", "cudnn_batch_norm": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm", "miopen_batch_norm": "batch_norm",
    "batch_norm": "batch_norm", "_batch_norm_with_update": "batch_norm", "_batch_norm_no_update": "batch_norm",
    "native_layer_norm": "layer_norm", "layer_norm": "layer_norm", "native_group_norm": "group_norm",
    "group_norm": "group_norm", "_fused_rms_norm": "rms_norm", "rms_norm": "rms_norm",
    "instance_norm": "instance_norm",
}  # fmt: skip

LOSSES: Final = {
    "nll_loss_forward": "nll", "nll_loss2d_forward": "nll", "nll_loss_nd": "nll", "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce_logits", "mse_loss": "mse", "smooth_l1_loss": "huber",
    "huber_loss": "huber", "l1_loss": "l1", "kl_div": "kl", "soft_margin_loss": "other",
    "multi_margin_loss": "other", "_ctc_loss": "other", "multilabel_margin_loss_forward": "other",
}  # fmt: skip

_STRUCTURAL: Final = {
    Operation.CONCATENATION: """
        cat stack concat hstack vstack
    """,
    Operation.POOLING: """
        max_pool2d_with_indices max_pool3d_with_indices max_pool1d_with_indices mkldnn_max_pool2d max_pool2d
        max_pool1d max_pool3d avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
        adaptive_avg_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool1d
        mkldnn_adaptive_avg_pool2d fractional_max_pool2d
    """,
    Operation.REDUCTION: """
        mean sum amax amin max min var std var_mean std_mean norm logsumexp prod linalg_vector_norm median
        nansum cumsum cumprod logcumsumexp histc
    """,
    Operation.SOFTMAX: """
        _softmax softmax _safe_softmax _log_softmax log_softmax
    """,
    Operation.MASK: """
        masked_fill where masked_scatter tril triu
    """,
    Operation.DROPOUT: """
        native_dropout dropout alpha_dropout feature_dropout
    """,
    Operation.ATTENTION: """
        _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention
        _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
        scaled_dot_product_attention _scaled_dot_product_attention_math flex_attention
        _scaled_dot_product_fused_attention_overrideable
    """,
    Operation.RESAMPLE: """
        upsample_nearest2d upsample_nearest1d upsample_nearest3d _upsample_nearest_exact2d upsample_linear1d
        upsample_bilinear2d upsample_bicubic2d _upsample_bicubic2d_aa _upsample_bilinear2d_aa
        upsample_trilinear3d grid_sampler_2d grid_sampler_3d
    """,
    Operation.RESHAPE: """
        constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
        replication_pad2d replication_pad3d roll flip index index_select gather scatter slice_scatter
        select_scatter index_put index_add scatter_add copy im2col col2im repeat repeat_interleave sort topk
        slice select split split_with_sizes chunk unbind narrow unfold diagonal as_strided masked_select
        _fft_r2c _fft_c2r _fft_c2c view_as_real view_as_complex real imag complex pixel_shuffle
        pixel_unshuffle channel_shuffle rot90 take_along_dim nonzero index_copy _unsafe_index split_copy
        slice_copy tensor_split _pack_padded_sequence _pad_packed_sequence
        to_padded_tensor _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward
    """,
}
STRUCTURAL: Final = {name: operation for operation, names in _STRUCTURAL.items() for name in names.split()}
"""Operations that are neither weighted nor elementwise."""

REDUCTIONS: Final = {
    "amax": "max", "amin": "min", "nansum": "sum", "var_mean": "var", "std_mean": "std", "linalg_vector_norm": "norm",
}  # fmt: skip
"""ATen name of a reduction to its ``function``, where the two differ."""

_REARRANGEMENTS: Final = {
    "slice": "slice select split split_with_sizes chunk unbind narrow split_copy slice_copy tensor_split",
    "gather": "index index_select gather take_along_dim masked_select topk _unsafe_index",
    "reorder": "roll flip sort rot90 channel_shuffle",
    "pad": "constant_pad_nd",
    "pad_edges": "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
    "replication_pad3d",
    "repeat": "repeat repeat_interleave",
    "depth_to_space": "pixel_shuffle",
}
REARRANGEMENTS: Final = {name: function for function, names in _REARRANGEMENTS.items() for name in names.split()}
"""ATen name to the ``function`` of a reshape."""

TRANSPARENT: Final = frozenset(
    """
    _autocast_to_full_precision _conj _neg_view _nested_get_values _nested_view_from_buffer _nested_view_from_jagged
    _reshape_alias _reshape_copy _to_copy
    _unsafe_view adjoint alias clone contiguous detach expand expand_as flatten lift lift_fresh lift_fresh_copy
    mT movedim nan_to_num numpy_T permute positive reshape resolve_conj squeeze swapaxes t to transpose
    unflatten unsqueeze view view_as
    """.split()
)
"""Every element survives as it is: no node of its own, the tensor goes on being its producer's output."""

CREATION: Final = frozenset(
    """
    arange bernoulli empty empty_like empty_permuted empty_strided eye fill full full_like linspace new_empty
    new_empty_strided new_full new_ones new_zeros normal ones ones_like rand rand_like randint randint_like
    randn randn_like randperm scalar_tensor sym_numel sym_size sym_stride tril_indices triu_indices uniform zero
    zeros zeros_like
    """.split()
)
"""The values do not depend on the values of any argument."""

RANDOM: Final = frozenset(
    "bernoulli exponential native_dropout normal rand rand_like randint randn randn_like randperm uniform".split()
)


_STEPS: Final = {
    DerivationStep.TRANSPOSE: "t transpose permute numpy_T mT adjoint swapaxes movedim",
    DerivationStep.CAST: "_to_copy to _autocast_to_full_precision",
    DerivationStep.GATHER: _REARRANGEMENTS["gather"],
    DerivationStep.SLICE: _REARRANGEMENTS["slice"],
    DerivationStep.CONCATENATE: "cat stack concat hstack vstack",
    DerivationStep.RESHAPE: "copy repeat",
    DerivationStep.PRODUCT: "matmul mm bmm mv dot linear addmm baddbmm addbmm addmv einsum tensordot",
    DerivationStep.SUM: "add",
    DerivationStep.DIFFERENCE: "sub rsub",
    DerivationStep.SCALE: "mul",
    DerivationStep.DIVIDE: "div true_divide",
    DerivationStep.NEGATE: "neg",
    DerivationStep.ABSOLUTE: "abs",
    DerivationStep.SQUARE: "square",
    DerivationStep.EXPONENTIAL: "exp",
    DerivationStep.RELU: "relu",
    DerivationStep.SIGMOID: "sigmoid",
    DerivationStep.SOFTPLUS: "softplus",
    DerivationStep.TANH: "tanh",
    DerivationStep.POWER: "pow sqrt rsqrt reciprocal",
    DerivationStep.REDUCE: "mean sum amax amin max min var std var_mean std_mean norm linalg_vector_norm logsumexp",
    DerivationStep.CLAMP: "clamp clamp_min clamp_max hardtanh",
    DerivationStep.ROUND: "round floor ceil trunc sign",
    DerivationStep.MASK: "masked_fill where tril triu",
    DerivationStep.WEIGHT_NORM: "_weight_norm_interface _weight_norm",
}
_STEP_OF: Final = {name: step for step, names in _STEPS.items() for name in names.split()}


def step(name: str) -> DerivationStep:
    """The step of a derivation that an ATen operation is.

    >>> step("t").value, step("view").value, step("lgamma").value
    ('transposition', 'reshaping', 'another operation')
    """
    other = DerivationStep.RESHAPE if name in TRANSPARENT else DerivationStep.OTHER
    return _STEP_OF.get(name, other)


def base_name(func: Any) -> str:
    """``aten.relu_.default`` to ``relu``."""
    name: str = func._schema.name.rsplit("::", 1)[-1]
    return name[:-1] if name.endswith("_") and not name.startswith("__") else name


def is_pointwise(func: Any) -> bool:
    """Whether PyTorch says that the operation works element by element."""
    return any(str(tag).endswith("pointwise") for tag in func.tags)
