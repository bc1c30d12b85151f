"""Annotated speech: what it is, where it comes from, what it says of itself."""
