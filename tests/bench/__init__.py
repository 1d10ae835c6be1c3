"""`make bench`: what Jurymast costs beside partclone, ntfsclone and plain zstd, on the same volume, in the same run."""
