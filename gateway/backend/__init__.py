"""LiteLLM: the one room that imports it. Builds a Router, calls one deployment, discards it, and maps its exceptions."""
