"""Callbacks that put ``gs.watch`` into the loops of trainers; each module imports its framework, this one imports none.

======================================  ===================================================
``gainstage.integrations.lightning``    ``WatchCallback`` for ``lightning.Trainer``
``gainstage.integrations.transformers`` ``WatchCallback`` for ``transformers.Trainer``
``gainstage.integrations.keras``        ``WatchCallback`` for ``model.fit`` on every backend
======================================  ===================================================

Loops that are written out, with accelerate or without, need none: there ``gs.watch`` is the one line.
"""
