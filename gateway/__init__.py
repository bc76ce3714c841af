"""Rolegate: an OpenAI-compatible gateway in which a role is a model name."""

__version__ = "0.1.0"
