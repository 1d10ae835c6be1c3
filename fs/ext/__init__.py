"""ext2, ext3 and ext4: which bytes of a volume are in use, and who refers to them."""
