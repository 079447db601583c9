"""Plain values that every other room uses: requests, events, results, errors, settings."""
