"""Images: padding, pooling and resampling along spatial axes."""
