"""shells.py - an interactive shell on a terminal of its own, to press TAB in.

    with Shell("bash", rc="…", env={…}) as sh:
        line, shown = sh.complete("ctxctl sub")     # the line after TAB, and what was listed
"""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from ctxtest import TIMEOUT, need

__all__ = ["Shell"]

COMMANDS = {"bash": ["bash", "--noprofile", "--rcfile"], "zsh": ["zsh", "-f", "-i"]}
# Ctrl-G prints the line as it is. TAB inserts what is sure and lists what there is.
SETUP = {
    "bash": r"""
PS1='READY '
bind 'set show-all-if-ambiguous on'
bind 'set completion-query-items 0'
bind 'set page-completions off'
bind 'set bell-style none'
bind 'set enable-bracketed-paste off'
bind 'set completion-display-width 0'
show() { printf 'LINE<%s>\n' "$READLINE_LINE"; }
bind -x '"\C-g": show'
""",
    "zsh": r"""
PS1='READY '
unsetopt zle_bracketed_paste 2>/dev/null
unset zle_bracketed_paste
setopt auto_list no_list_ambiguous no_beep no_list_beep no_auto_menu
LISTMAX=10000
show() { print -r -- "LINE<$BUFFER>" >/dev/tty }
zle -N show
bindkey '^G' show
bindkey '^I' complete-word
bindkey '^U' kill-whole-line
""",
}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-Z]?|\r|\x07|\x1b\][^\x07]*\x07")


class Shell:
    """RC is run before the first prompt, behind the setup; TMP is a directory for it."""

    def __init__(self, name, tmp, rc="", env=None):
        self.name = name
        path = os.path.join(tmp, f"{name}.rc")
        with open(path, "w", encoding="utf-8") as f:
            f.write(SETUP[name] + rc + "\n")
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 400, 160, 0, 0))
        argv = ["setsid", "--ctty", *COMMANDS[name], *([path, "-i"] if name == "bash" else [])]
        self.proc = subprocess.Popen(argv, env={**env, "TERM": "xterm", "HOME": tmp}, stdin=slave, stdout=slave, stderr=slave, cwd=tmp)
        os.close(slave)
        self.seen = ""
        if name == "zsh":
            self.send(f". {path}\n")
        self.wait("READY ")
        self.send("\x15")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.kill()
        self.proc.wait()
        os.close(self.master)

    def send(self, text):
        os.write(self.master, text.encode())

    def wait(self, pattern):
        """Read until PATTERN is there; all that came before its end."""
        end = time.monotonic() + TIMEOUT
        while not (m := re.search(pattern, self.seen, re.S)):
            left = end - time.monotonic()
            need(left > 0, f"{self.name}: no {pattern!r} in {self.seen!r}")
            if not select.select([self.master], [], [], left)[0]:
                continue
            try:
                got = os.read(self.master, 65536)
            except OSError:
                got = b""
            need(got, f"{self.name} ended: {self.seen!r}")
            self.seen += got.decode(errors="replace")
            self.seen = ESCAPES.sub("", self.seen)
        text, self.seen = self.seen[:m.end()], self.seen[m.end():]
        return text

    def complete(self, line):
        """LINE, and TAB: what the line is then, and what was shown meanwhile."""
        self.send(line + "\t\x07")
        text = self.wait(r"LINE<[^\n]*>\n")
        self.send("\x15")
        return re.search(r"LINE<([^\n]*)>\n", text).group(1), text[:text.rindex("LINE<")]
