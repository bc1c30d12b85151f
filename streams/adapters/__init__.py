"""Clients of outside systems, and the in-memory twin of every port."""
