"""Benchmarks: each figure beside its budget and, where one exists, a peer measured in the same run. Not part of the tests."""
