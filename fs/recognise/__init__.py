"""Recognising what lies in a volume by its signatures, as `blkid -p` does; the names are blkid's.

Rules for a new signature: one entry in the module of its family, its header in `layout.py`, an image as proof.
"""
