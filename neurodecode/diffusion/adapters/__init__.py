"""Generators of others: pipelines of diffusers as functions of decoded tokens, one family a file."""
