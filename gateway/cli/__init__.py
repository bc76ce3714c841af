"""The commands: parse, call, render. Data goes to stdout, talk to stderr."""
