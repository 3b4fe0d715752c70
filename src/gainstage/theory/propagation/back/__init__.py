"""The rules of the way back, operation by operation; ``gainstage.theory.propagation.backward`` applies them."""
