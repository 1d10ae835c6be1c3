"""Containers of bytes: partition tables and our archive. Knows layouts, never devices, never file systems."""
