"""The data plane: one request, the ordered deployments of its role, and what happens when they fail."""
