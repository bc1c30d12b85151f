"""HTTP in front of the emotion models."""
