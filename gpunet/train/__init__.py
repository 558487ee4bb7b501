"""Training: configurations, the loop, checkpoints and what a run writes."""
