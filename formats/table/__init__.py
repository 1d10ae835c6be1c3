"""Partition tables: MBR and GPT, read and built back byte for byte."""
