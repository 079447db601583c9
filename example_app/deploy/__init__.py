"""Serving the example app to real people: gunicorn behind nginx."""
