"""Plain values: requests, events, results, errors, profiles, settings. Imports nothing of ours."""
