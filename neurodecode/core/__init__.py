"""The kernel: a stage, its content key, and a folder on disk that is whole or absent."""
