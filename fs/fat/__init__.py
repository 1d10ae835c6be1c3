"""FAT12, FAT16 and FAT32: which bytes of a volume are in use, and who refers to them."""
