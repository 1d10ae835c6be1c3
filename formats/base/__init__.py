"""The small base that everything stands on: errors, sources, extents, bitmaps."""
