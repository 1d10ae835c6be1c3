"""Every word of the screens that look into a backup."""

from __future__ import annotations

LOOK_WHERE = "Look inside: what?"
LOOK_WHERE_TEXT = "A backup, a disk or an image file. It is only read, never changed."
LOOK_BACKUP = "A backup file ..."
LOOK_BACKUP_TITLE = "Look inside: which backup?"
LOOK_BACKUP_TEXT = "The file of the backup. It is only read."
LOOK_VOLUME = "Look inside: which partition?"
LOOK_VOLUME_TEXT = "Choose one with files. The others are shown so that nothing is hidden."
NO_FILES = "cannot be opened: {why}"
NO_FILES_KNOWN = "Jurymast cannot show files of {kind}"
NO_FILES_UNKNOWN = "no file system that Jurymast knows"
NO_FILES_SWAP = "swap space holds no files"

TITLE = "Look inside: {name}"
KEY_MARK, KEY_ALL, KEY_FIND, KEY_ABOUT, KEY_EXTRACT, KEY_UP, KEY_STOP = (
    "Mark", "All", "Search", "About", "Extract", "Folder up", "Stop",
)  # fmt: skip
KEY_OPEN = "Open"
OPENING = "opening {name}"
READING = "Reading this folder: {count} entries so far. Esc stops."
STOPPED = "Stopped: {count} entries were read, and there may be more."
TOO_MANY = "This folder has {count} entries; the first {shown} that were read are shown. Search (/) finds the others."
EMPTY = "(nothing in this folder)"
ENTRIES = "{count} entries"
ONE_ENTRY = "1 entry"
DAMAGED = "{count} damaged entries of this folder were passed over: {text}"
NOTHING_MARKED = "Nothing is marked. Space marks, e extracts."
MARKED = "{count} marked, {size}"
MARKED_COUNTING = "{count} marked, {size} and more: still counting"
MARKED_FAULTS = "; {count} folders could not be read"
INSIDE_MARKED = "{path} is marked as a whole. Remove that mark there first."
UP_NAME = ".."
UP_ABOUT = "One folder up"
FOLDER, LINK, SPECIAL, UNKNOWN, NOT_READABLE = "folder", "link", "special", "unknown", "DAMAGED"
LEAVE_ASK = "Leave with {count} marked?"
LEAVE_TEXT = "The marks will be forgotten. To save what is marked, go back and press e."
LEAVE_YES, LEAVE_NO = "Leave", "Stay"

FIND_TITLE = "Search in {path}"
FIND_LABEL = "Name: "
FIND_TEXT = "A part of a name, or a pattern: *.jpg, report*2024?.doc. Enter begins."
FIND_NONE = "Type a part of a name first."
FIND_RUNNING = "{count} found, {seconds} s. The search goes on; Esc stops it."
FIND_DONE = "{count} found. Enter goes to it, Space marks, a marks all."
FIND_STOPPED = "{count} found, then stopped. Enter goes to it, Space marks, a marks all."
FIND_LIMIT = "The first {count} are shown; there are more. Search for something longer."
FIND_FAULTS = "{count} folders could not be read: {text}"

VIEW_TITLE = "{name}"
VIEW_TEXT, VIEW_HEX, VIEW_ABOUT = "Text", "Bytes", "About"
VIEW_NOTHING = "There is no content to show."
VIEW_PLACE = "{mode}: byte {start} of {size}, {share} %"
VIEW_EMPTY = "The file is empty."
VIEW_BAD = "'?' stands for what cannot be read: {reason}"
VIEW_LOOKING = "the file"
VIEW_WHOLE = "{mode}: all {size} bytes"

EXTRACT_NOTHING = "Nothing is marked, and there is nothing to extract here."
EXTRACT_OPTIONS = "Extract {what}"
EXTRACT_WHAT = "{count} marked"
EXTRACT_TO = "Extract: into which folder?"
EXTRACT_TO_TEXT = (
    "Go into a folder, or type a path; a new folder is made. Choose another disk than the one that is read."
)
EXTRACT_FILE = "Extract: into which file?"
EXTRACT_FILE_TEXT = "Choose where to put it, or type a path. Choose another disk than the one that is read."
EXTRACT_START = "Copy the files"
OPT_FORM = "What to make"
OPT_FORMS = (
    ("folder", "files in a folder"),
    ("tar", "one tar file: keeps owners, modes and links wherever it lies"),
    ("zip", "one zip file: opens everywhere, keeps less"),
)
OPT_WITH_FOLDERS = "Keep the folders that the marked files lie in."
OPT_OVERWRITE = "Replace files that exist there already. Without this they are kept, and that is told."
OPT_WINDOWS = "Only names that Windows allows. Without this, where the place needs it."

HELP_BROWSE = (
    "Enter opens a folder, or shows a file. Backspace goes one folder up. Space marks a file or a folder with all that "
    "is in it; marks stay when you go elsewhere. a marks everything here, or nothing when all is marked. / searches "
    "below this folder, i tells all about an entry, e extracts what is marked, or the entry under the bar when nothing "
    "is. 'DAMAGED' says that the content of an entry cannot be read; the line below tells why. Times are UTC."
)
HELP_FIND = (
    "Type a part of a name, or a pattern with * and ?, and press Enter. What is found appears while the search goes "
    "on. Enter on a line goes to the place, Space marks it, a marks all that was found. / goes back to the line."
)
HELP_VIEW = (
    "t shows the file as text, x its bytes, i what is known about it. Arrow keys, Page Up and Page Down, Home and End "
    "move through it; only what is shown is read. '?' stands for what cannot be read, a dot for what is no letter."
)
