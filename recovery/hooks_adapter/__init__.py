"""Ready hooks: databases that are brought to a point from which a backup can be restored, and let go again."""
