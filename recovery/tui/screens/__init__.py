"""One module for each kind of screen. No screen touches a disk: see recovery.tui.aside."""
