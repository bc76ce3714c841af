"""Logs, and the filter that keeps secrets out of them."""
