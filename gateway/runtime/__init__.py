"""The living system: generations, the swap between them, and the controller that reconciles facts and settings to a plan."""
