"""Streams in Redis."""
