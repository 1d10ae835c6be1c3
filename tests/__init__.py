"""Tests against the world: other people's tools and images are the judges."""
