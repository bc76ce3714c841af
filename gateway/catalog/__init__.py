"""Shipped facts: capability scores, what quantisation costs, cloud model facts, and the names models go by."""
