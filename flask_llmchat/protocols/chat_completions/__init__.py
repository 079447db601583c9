"""OpenAI's chat completions, as providers really stream them."""
