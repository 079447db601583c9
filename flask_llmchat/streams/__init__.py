"""Streams that outlive their reader, kept in memory or in Redis."""
