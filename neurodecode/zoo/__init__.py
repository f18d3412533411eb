"""Training of the small models: an image embedding, a generator and a prior, on pictures alone."""
