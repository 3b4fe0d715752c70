"""The closed vocabulary of operations on a signal, and of roles of parameters."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Operation", "Role"]


class Operation(StrEnum):
    """The kind of operation that a node applies. Backends map each of their own operations to one of these."""

    INPUT = "input"
    LINEAR = "linear"  # signal × weight
    BILINEAR = "bilinear"  # signal × weight × signal
    CONVOLUTION = "convolution"  # transposed ones too: the kernel says so
    EMBEDDING = "embedding"
    RECURRENT = "recurrent"  # a whole sequence through an RNN, LSTM or GRU
    ATTENTION = "attention"  # fused softmax(q kᵀ) v
    MATMUL = "matmul"  # signal × signal
    ACTIVATION = "activation"  # elementwise and nonlinear; `function` names it
    SOFTMAX = "softmax"  # `function`: softmax or log_softmax
    NORMALIZATION = "normalization"  # `function`: batch_norm, layer_norm, group_norm, rms_norm, unit_norm
    ADD = "add"  # signal + signal
    MULTIPLY = "multiply"  # signal · signal, e.g. a gate
    OFFSET = "offset"  # signal + something that does not depend on the input
    SCALE = "scale"  # signal · something that does not depend on the input
    POOLING = "pooling"
    REDUCTION = "reduction"
    CONCATENATION = "concatenation"
    DROPOUT = "dropout"
    RESHAPE = "reshape"  # views, copies, casts, slices, padding, gathering
    RESAMPLE = "resample"
    MASK = "mask"
    LOSS = "loss"
    UNKNOWN = "unknown"

    @property
    def weighted(self) -> bool:
        """Report whether the operation mixes units by a weight, so that it counts as a layer of depth."""
        return self in _WEIGHTED

    @property
    def passive(self) -> bool:
        """Report whether values pass through unchanged (moved, copied or cast)."""
        return self in _PASSIVE


_WEIGHTED = frozenset(
    {Operation.LINEAR, Operation.BILINEAR, Operation.CONVOLUTION, Operation.RECURRENT, Operation.EMBEDDING}
)
_PASSIVE = frozenset({Operation.RESHAPE, Operation.INPUT})


class Role(StrEnum):
    """The purpose of a parameter, derived from the graph and never from the parameter's name."""

    HIDDEN = "hidden"
    BEFORE_NORM = "before_norm"  # a normalisation removes its scale
    BRANCH_END = "branch_end"  # last weight of a residual branch
    HEAD = "head"
    EMBEDDING = "embedding"
    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    PACKED_ATTENTION = "packed_attention"  # query, key and value stacked in one array
    GATE = "gate"
    RECURRENT = "recurrent"  # hidden to hidden
    RECURRENT_INPUT = "recurrent_input"  # input to the hidden state's gates
    DEPTHWISE = "depthwise"
    NORM_SCALE = "norm_scale"
    NORM_SHIFT = "norm_shift"
    BIAS = "bias"
    RECURRENT_BIAS = "recurrent_bias"
    MAGNITUDE = "magnitude"  # the norm of another parameter (weight normalisation)
    OTHER = "other"  # class tokens, position tables, layer scales: left as the model made them

    @property
    def is_kernel(self) -> bool:
        """Report whether a scheme draws the parameter (as a matrix or a convolution)."""
        return self in _KERNELS


_KERNELS = frozenset(
    {
        Role.HIDDEN,
        Role.BEFORE_NORM,
        Role.BRANCH_END,
        Role.HEAD,
        Role.QUERY,
        Role.KEY,
        Role.VALUE,
        Role.PACKED_ATTENTION,
        Role.GATE,
        Role.RECURRENT,
        Role.RECURRENT_INPUT,
        Role.DEPTHWISE,
    }
)
