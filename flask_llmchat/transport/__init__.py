"""HTTP/1.1 over sockets of our own. Nothing here knows of LLMs or of Flask."""
