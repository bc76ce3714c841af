"""Configuration: the environment, the layers and their merge, the schema, profiles, and every problem at once."""
