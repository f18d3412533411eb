"""The prior over image tokens and the picture generators."""
