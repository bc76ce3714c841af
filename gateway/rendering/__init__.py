"""Plan and ``router_templates/`` in, a LiteLLM router configuration out. Secrets stay references; litellm is not imported."""
