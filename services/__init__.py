"""Processes around the stream."""
