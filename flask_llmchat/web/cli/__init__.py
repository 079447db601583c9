"""The ``flask llmchat …`` commands, for the operator at the server's terminal."""

from .commands import make_commands

__all__ = ["make_commands"]
