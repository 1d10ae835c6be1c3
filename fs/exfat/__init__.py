"""exFAT: which bytes of a volume are in use, and who refers to them."""
