"""HTTP over sockets of our own. Knows no LLM and no Flask."""
