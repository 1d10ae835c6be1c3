"""`make demo`: a disk of its own is backed up, wiped, restored and compared, and every step says what it did."""
