"""An exam for ``gs.check``: small networks with known faults, and small networks without one, from public sources."""
