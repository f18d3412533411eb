"""Brain-to-CLIP training: targets, losses, mixing, the loop."""
