"""Whole journeys: source, archive, target, judged byte for byte and by programs of others."""
