"""The ``flask llmchat …`` commands, for the operator at the server's terminal."""
