"""Watch a training of PyTorch: every step, and looks at every layer."""

from gainstage.backends.torch.watching.attached import Attached, attach, watched

__all__ = ["Attached", "attach", "watched"]
