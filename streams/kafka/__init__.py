"""Fetching, committing, sending: what the stages stand on."""
