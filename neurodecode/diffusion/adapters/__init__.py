"""Generators of others: pipelines of diffusers as functions of decoded tokens, a family a file."""
