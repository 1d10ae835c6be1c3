"""The Jurymast archive (.jmi). FORMAT.md is the specification."""
