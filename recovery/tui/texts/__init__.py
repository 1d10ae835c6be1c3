"""Every word that the screens say of their own, in one place. What the engine says in words is not repeated here."""

from __future__ import annotations

from recovery.tui.texts import look
from recovery.tui.texts.more import MORE_HELP, MORE_TASK

PRODUCT = "Jurymast"

# Keys, as they stand at the foot of the screens.
KEY_HELP, KEY_BACK, KEY_REFRESH, KEY_THEME, KEY_QUIT = "Help", "Back", "Look again", "Colours", "Leave"

HOME = "What do you want to do?"
HOME_DISKS = "Disks of this machine"
HOME_DESCRIBED = "Described disks and image files (not the disks of this machine)"
LOOKING = "Looking at the disks ..."
JUST_PLUGGED = "just plugged in"
DESCRIBED = "described only"
TASKS = (
    ("backup", "Back up           save a disk, or some of its partitions, into a file"),
    ("restore", "Restore           write a backup back to a disk"),
    ("clone", "Clone a disk      copy one disk to another, with no file between"),
    ("look", "Look inside       see the files of a backup, and copy some of them out"),
    ("check", "Check a backup    read all of it, and say whether it can be relied on"),
    ("more", MORE_TASK),
)

WAITING = "Please wait: {what} ({seconds} s)"
NO_ANSWER = "Still waiting for {what}, since {seconds} s. A disk may be slow or dead. Esc goes back."
CONTINUE, BACK, START_OVER, CLOSE, YES_STOP, NO_GO_ON = (
    "Continue", "Back", "Back to the start", "Close", "Yes, stop", "No, go on",
)  # fmt: skip

BACKUP_SOURCE = "Back up: which disk?"
BACKUP_SOURCE_TEXT = "It is only read, never changed."
BACKUP_PARTS = "Back up: all of it, or some partitions?"
BACKUP_PARTS_TEXT = "Everything ticked means the whole disk, with its partition table and boot areas."
BACKUP_PARTS_NONE = "Tick at least one partition."
BACKUP_TO = "Back up: into which file?"
BACKUP_TO_TEXT = "Choose where to put it, or type a path. It must not exist yet, and lie on another disk."
BACKUP_OPTIONS = "Back up: options"
BACKUP_START = "Start the backup"

RESTORE_FROM = "Restore: which backup?"
RESTORE_FROM_TEXT = "The file of the backup. It is only read."
RESTORE_WHAT = "Restore: what of it?"
RESTORE_WHAT_TEXT = "Everything, or one partition."
RESTORE_TO = "Restore: TO which disk? What is on it now will be lost."
RESTORE_TO_TEXT = "Nothing is written before you have seen the plan and typed the end of its serial number or its name."
RESTORE_OPTIONS = "Restore: options"
RESTORE_START = "Write to the target now"

CLONE_FROM = "Clone: FROM which disk?"
CLONE_FROM_TEXT = "The original. It is only read, never changed."
CLONE_WHAT = "Clone: what of it?"
CLONE_TO = "Clone: TO which disk? What is on it now will be lost."
CLONE_OPTIONS = "Clone: options"

CHECK_WHICH = "Check: which backup?"
CHECK_OPTIONS = "Check: options"
CHECK_START = "Start the check"

ANOTHER_FILE = "An image file ..."
NEW_FILE = "An image file, there already or new ..."
IMAGE_FILE = "Which image file?"
IMAGE_FILE_TEXT = "Choose it, or type its path."
TARGET_FILE_TEXT = "Choose one, or type the path of a new one: it is made in the right size."
UNNAMED_DISK = "a disk without a name"
EVERYTHING = "Everything: {name}, {size}"
ONLY = "Only {title}, {size}"
TARGET_PART = "Into which partition of {path}?"
TARGET_PART_TEXT = "What is in it now will be lost; the other partitions stay."
UP = ".. (one folder up)"
FREE = "{path}   {free} free of {size} ({kind})"
PATH = "Path: "
NO_PATH = "Type a path, or choose one from the list."

OPT_LEVEL = "How much work goes into making it small"
OPT_LEVELS = (("1", "fast: as quick as the disks"), ("6", "smaller, and slower"), ("15", "smallest, and very slow"))
OPT_VERIFY_BACKUP = "Read it back and prove it. Without this it is stored, but not proven."
OPT_VERIFY_TARGET = "Read the target back and compare. Without this it is written, but not checked."
OPT_PAGING = "Keep pagefile.sys, swapfile.sys and hiberfil.sys too. Windows makes them anew."
OPT_LIVE = "Image it although it is in use. At best what a power cut would leave."
OPT_SPLIT = "Parts"
OPT_SPLITS = (("0", "one file"), (str(4 << 30), "parts of less than 4 GiB, for FAT32"))
OPT_UNUSED = "Space of the target that the image does not use"
OPT_UNUSEDS = (
    ("discard", "give it back to the disk, where it can do that (SSD)"),
    ("zero", "overwrite it with zeros: slow, and old data are gone"),
    ("leave", "leave it as it is"),
)
OPT_FILES = "Read every file through its file system, too. Takes longer."

REVIEW = "Look at the plan"
REVIEW_WAIT = "looking at {what}"
REVIEW_DISKS = "source and target"
STEPS = "Step by step:"
BEFORE, AFTER = "The target now:", "The target afterwards:"
NEW_TARGET = "(a new file)"
UNKNOWN_TARGET = "(cannot be shown)"
TYPE_HERE = "Type it here: "
TYPED_RIGHT = "That is the one. Nothing is written before you press the button."

PROGRESS = {
    "backup": "Backing up",
    "restore": "Restoring",
    "clone": "Cloning",
    "verify": "Checking",
    "extract": "Copying files out",
}
PROGRESS_STEP = "Step {step} of {steps}: {text}"
PROGRESS_LINE = "{done} of {total}   {rate}/s   {left}   {elapsed} since the start"
PROGRESS_LEFT = "about {left} left"
PROGRESS_LEFT_UNKNOWN = "time left not known yet"
PROGRESS_STALLED = "Waiting for {text}, since {seconds} s. The disk does not answer."
PROGRESS_STEPS_DONE, PROGRESS_STEPS_NOW, PROGRESS_STEPS_TODO = "done", "now ", "    "
PROGRESS_CANCEL = "Stop ..."
PROGRESS_STOPPING = "Stopping. What was begun is being left in order ..."
PROGRESS_QUIET = "No warnings so far."
PROGRESS_BUSY = "A job is running. Stop it first (Esc)."

CANCEL_ASK = "Stop this job?"
CANCEL_STATE = {
    "backup": "The backup that was begun will be removed. The source is not changed in any way.",
    "restore": "What was on the target is gone already, and what comes is not complete: the target will look blank. "
    "A new image file is removed. The backup itself is not changed.",
    "clone": "What was on the target is gone already, and what comes is not complete: the target will look blank. "
    "A new image file is removed. The source is not changed.",
    "verify": "Checking changes nothing. You will not know whether the backup is good.",
    "extract": "The files that were copied already stay, each of them whole; a tar or zip is removed. The backup or "
    "disk that is read is not changed.",
}

REPORT = "Report"
REPORT_SAVED = "This report is kept as {path}"
NEXT = "What to do next: "
REPORT_NEXT = {
    ("backup", "ok"): "Keep the file on another disk, and check it now and then (Check a backup).",
    ("backup", "losses"): "Read below what could not be read. Keep the original disk.",
    ("restore", "ok"): "Take the medium with the backup out, and start from the restored disk.",
    ("clone", "ok"): "Take one of the two disks out before you start the machine: they have the same identifiers.",
    ("verify", "ok"): "Nothing. The backup can be relied on today.",
    ("verify", "losses"): "Read below what was not found. Make a new backup while the original is there.",
    ("restore", "losses"): "Read below what is missing on the target before you rely on it.",
    ("extract", "ok"): "Open some of the files before you rely on them.",
    ("extract", "losses"): "Read below which files did not come back whole, and look for them in another backup.",
    ("clone", "losses"): "Read below what is missing on the target, and keep the original.",
}
REPORT_UNCHECKED = {
    "backup": "Check it (Check a backup) before you rely on it: nobody has read it back.",
    "restore": "Nobody has compared the target with the backup. Restore once more with the check when in doubt.",
    "clone": "Nobody has compared the two disks. Clone once more with the check when in doubt.",
}
REPORT_NEXT_ELSE = "Read below what happened, and try again when the cause is gone."

REFUSAL_TITLE = "This cannot be done like this"
REFUSAL_ADVICE = "What you can do:"
REFUSAL_DEFAULT = "Go back and choose something else."

LEAVE_ASK = "Leave Jurymast?"
LEAVE_TEXT = "Nothing is running, and nothing was left half-done."
LEAVE_YES, LEAVE_NO = "Leave", "Stay"

HELP_TITLE = "Help"
HELP_KEYS = """\
Tab, Shift+Tab  to the next or previous place on the screen
Arrow keys      within a list, or from button to button
Enter, Space    choose, press, tick
F1              this help, on every screen
F2              other colours: dark, high contrast, black and white
F5              look at the disks again
Esc             one screen back; while a job runs: stop it (it asks)
F10             leave Jurymast, after a question
The mouse works too, where the terminal has one."""
HELP = {
    "home": "All disks are above, each with its size, serial number, what uses it, and a map: '=' is a partition that "
    "begins with its number, '.' is free space. Choose a task below. Nothing is changed before you have "
    "seen a plan and accepted it by hand.",
    "pick": "Choose with the arrow keys and Enter. The serial number is printed on most disks: compare it.",
    "parts": "Tick the partitions to save. Choose the whole disk when it is to start a machine again.",
    "path": "Go through the folders with Enter, or type the path in the line below the list and press Enter.",
    "options": "The answers that are set already are good for most. Tab goes on to the button.",
    "review": "This is all that will happen, in this order, and all that will be lost. When something will be "
    "overwritten, type what is asked for: it says that you have the right disk before your eyes. "
    "Shortly before the first byte is written, the target is looked at once more; when it is another one by "
    "then, nothing is written.",
    "progress": "The job goes on by itself. Esc asks whether to stop, and says what that leaves behind. p pauses it, "
    "and lets it go on. o ticks whether the machine is shut down afterwards, which it is only when all went well.",
    "report": "The large words say how it ended. Below stands what was done, and everything that was lost, by name. "
    "It is kept, and can be read again under More on the first screen.",
    "look": look.HELP_BROWSE,
    "find": look.HELP_FIND,
    "view": look.HELP_VIEW,
    "refusal": "Nothing was changed. Read the reason, and what can be done.",
    "dialog": "Tab goes from button to button, Enter presses one, Esc is the careful answer.",
    **MORE_HELP,
}
