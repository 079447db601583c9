"""One chat, from admission to its one ending."""
