"""Networks of Keras, with one known fault each and without any."""
