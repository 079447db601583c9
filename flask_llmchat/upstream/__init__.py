"""The wire: the only part that knows the openai SDK, HTTP and sockets."""
