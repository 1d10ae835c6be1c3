"""The words about places: what is not mounted yet, and which partition goes where."""

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

SEVERAL = "Several partitions, each into a partition of the target ..."
SEVERAL_WHICH = "Restore: which partitions?"
SEVERAL_WHICH_TEXT = (
    "Tick those that you want. Each goes into a partition that is there already; the others of the target stay as they "
    "are."
)
SEVERAL_WHERE = "Restore {at} of {of}: {title}"
SEVERAL_WHERE_TEXT = (
    "Into which partition of {target} goes {title}, {size}? What is in it now will be lost; the other partitions stay."
)
SEVERAL_PROPOSED = "  (proposed)"
SEVERAL_NOWHERE = "{target} has no free partition for {title}, which needs {size}: {largest}."
SEVERAL_LARGEST = "the largest that is left has {size}"
SEVERAL_NONE = "none is left"
SEVERAL_NOWHERE_ADVICE = (
    "Choose another target, restore the whole disk (which brings its partitions along), or make partitions of that "
    "size first."
)
