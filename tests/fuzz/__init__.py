"""Fuzzing: every parser is given millions of damaged inputs, and only our own errors may leave it."""
