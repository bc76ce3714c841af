"""Values and decisions: no I/O, clock, environment, logging or third parties. A decision takes the world as arguments."""
