"""Corpora, training and evaluation."""
