"""Mirrors formats/, fs/ and recovery/ one to one."""
