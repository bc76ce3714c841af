"""What models are there now: one module per kind of provider, the capability cache, the registry that asks them all."""
