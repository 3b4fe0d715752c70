"""Trainings: one model on its own, or many of one architecture as one."""

from gainstage.backends.protocol import OnSteps, Start
from gainstage.backends.torch.training.alone import train_alone
from gainstage.backends.torch.training.criterion import Criterion
from gainstage.backends.torch.training.examples import Examples
from gainstage.backends.torch.training.together import obstacle, train_together

__all__ = ["Criterion", "Examples", "OnSteps", "Start", "obstacle", "train_alone", "train_together"]
