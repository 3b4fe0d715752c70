"""Checkpoints in the safetensors format, written piece by piece: layout, files under way, the job of writing them."""

from gainstage.backends.shared.checkpoint.format import File, Stored, files_of, index_text
from gainstage.backends.shared.checkpoint.job import Contents, Job, OnProgress
from gainstage.backends.shared.checkpoint.names import Target, bytes_of, target_of

__all__ = [
    "Contents", "File", "Job", "OnProgress", "Stored", "Target", "bytes_of", "files_of", "index_text", "target_of",
]  # fmt: skip
