"""The words about places that are not mounted yet."""

from __future__ import annotations

NOT_MOUNTED = "not mounted: {what} - choose to mount it"
NOT_SAFE = "not mounted: {what} - cannot be written now: choose to see why"
MOUNT_ASK = "Mount it?"
MOUNT_WRITE = (
    "{what}\n\nIt is made writable in a folder of Jurymast's own, so that the backup can go there. What is on it "
    "stays. When you are back at the start, it is unmounted and can be taken out."
)
MOUNT_READ = (
    "{what}\n\nIt is opened in a folder of Jurymast's own, only to read from: nothing on it is changed. When you are "
    "back at the start, it is closed and can be taken out."
)
MOUNT_YES, MOUNT_NO = "Mount it", "No"
MOUNTING = "{device} being mounted"
LETTING_GO = "Writing out and unmounting {folders} ..."
