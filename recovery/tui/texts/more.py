"""The words of reports kept, event log, shell, switching off, pause, and the results of a check."""

from __future__ import annotations

MORE_TASK = "More              reports, event log, shell, restart, shut down"

MORE = "More"
MORE_TEXT = "What else can be done here."
MORE_WAIT = "what this machine allows"
MORE_REPORTS = "Reports\n how earlier jobs ended, to be read again and taken along"
MORE_LOG = "Event log\n what jobs did and met, with the time of each"
MORE_SHELL = "Shell\n a command line; 'exit' comes back here"
MORE_RESTART = "Restart this machine"
MORE_OFF = "Shut down this machine"
MORE_NO_SHELL = "A shell is not offered: this terminal cannot be lent to it."
MORE_NO_POWER = "Restart and shut down are not offered: {why}"

REPORTS = "Reports"
REPORTS_TEXT = "The newest first. Choose one to read it."
REPORTS_WAIT = "the kept reports"
REPORT_WAIT = "the report"
REPORT_EXPORT = "Save a copy on a stick ..."
REPORT_EXPORT_TITLE = "Save a copy of the report: where?"
REPORT_EXPORT_TEXT = "Choose a place that can be written, or type a path. A .json for programs comes beside it."
REPORT_EXPORTED = "A copy is saved: {paths}"
REPORT_BACK = "Back"

LOG = "Event log"
LOG_WAIT = "the event log"

SHELL_HINT = "\nType 'exit' to come back to Jurymast.\n"
BUSY = "A job is running."
BUSY_ADVICE = "Wait for its end, or stop it first (Esc)."

RESTART_ASK, RESTART_YES = "Restart this machine?", "Yes, restart"
OFF_ASK, OFF_YES = "Shut down this machine?", "Yes, shut down"
POWER_TEXT = "Nothing is running in Jurymast. What other programs have not saved is lost."
POWER_NO = "No, stay here"
SWITCHING_OFF = "The machine is being switched off ..."

OPT_OFF = "Shut this machine down afterwards, but only if it ended PROVEN (or checked), without any error."
THEN_OFF = "Shut down afterwards (key o), only if PROVEN or checked, without errors"
KEY_OFF = "Then off"
COUNTDOWN = "This machine shuts down in {seconds} s."
COUNTDOWN_TEXT = "The job ended well, and it was asked for. Any key stops it, and the machine stays on."
COUNTDOWN_STOPPED = "Shutting down was stopped by hand. The machine stays on."
STAYS_ON = "The machine stays on, although shutting down was asked for. {why}"

KEY_PAUSE = "Pause/go on"
PAUSE, GO_ON = "Pause", "Go on"
PAUSING = "Pausing, as soon as the piece of work that is at hand is done ..."
PAUSED = "PAUSED. Nothing is read or written. Press p to go on."

RESULTS_STAGES = {"stored": "stored blocks", "proof": "file system", "files": "files"}
RESULTS_GOING_ON = "..."
RESULTS_HIT = "  hit: {name}"

MORE_HELP = {
    "log": "Every job with its steps, warnings and end, each with its time, the newest at the end. The arrow keys "
    "scroll. The newest five megabytes are kept.",
}
