"""The second list: published architectures and own builds in their styles, on which no rule of the theory was tuned.

A coin parts it once (``split``): the *seen* half may be looked at while rules are written, the *unseen* half is only
measured.
"""

from second_list.case import Case
from second_list.convolutions import CONVOLUTIONS
from second_list.dense_nets import DENSE_NETS
from second_list.hugging_face import HUGGING_FACE
from second_list.mixers import MIXERS
from second_list.sequences import SEQUENCES
from second_list.vision_tokens import VISION_TOKENS

__all__ = ["CASES", "Case"]

CASES: tuple[Case, ...] = (*HUGGING_FACE, *CONVOLUTIONS, *DENSE_NETS, *MIXERS, *VISION_TOKENS, *SEQUENCES)
