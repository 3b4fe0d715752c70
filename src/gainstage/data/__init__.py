"""Small datasets, all loaded with one stratified and seeded split."""

from gainstage.data.arrays import from_arrays
from gainstage.data.dataset import IGNORED, Dataset
from gainstage.data.load import NAMES, load
from gainstage.data.sources import digits, from_file, mnist
from gainstage.data.spec import InputSpec, parse_input
from gainstage.data.split import split, stratify
from gainstage.data.synthetic import copy, gaussian

__all__ = [
    "IGNORED",
    "NAMES",
    "Dataset",
    "InputSpec",
    "copy",
    "digits",
    "from_arrays",
    "from_file",
    "gaussian",
    "load",
    "mnist",
    "parse_input",
    "split",
    "stratify",
]
