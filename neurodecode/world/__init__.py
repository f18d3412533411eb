"""Complete studies with known truth: rendered pictures and simulated recordings."""
