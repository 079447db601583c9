"""Upstream protocols: how providers are spoken to, one package each."""
