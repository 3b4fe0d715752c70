"""The rules of the way back, operation by operation; ``gainstage.propagation.backward`` applies them."""
