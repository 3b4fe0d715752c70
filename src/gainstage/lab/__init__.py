"""The lab: a page on this machine to try starts of networks, and the seven questions as exercises."""

from gainstage.lab.notebook import Lab, lab

__all__ = ["Lab", "lab"]
