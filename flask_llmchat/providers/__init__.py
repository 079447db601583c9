"""Providers: one row of data each, and the few functions that rows name."""

from .builtin import builtin_providers
from .provider import Provider, bearer_target
from .target import Target

__all__ = ["Provider", "Target", "bearer_target", "builtin_providers"]
