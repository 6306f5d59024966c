#!/usr/bin/python3
"""conf.py - the two checked-in files that come from core/policy.def and core/class.def, printed to stdout.

  conf.py conf   conf/ctxd.conf: what ctxd (of $B, default build) prints of its defaults, every value commented out
  conf.py man    man/ctxd.conf.5: man/ctxd.conf.5.in with the descriptions of the keys put in

tools/generated.txt names both, so that `make check-source` fails when they are not current. `make conf` rewrites them.
"""
import os
import re
import subprocess
import sys
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DUR_MAX_US = 3650 * 86400 * 10**6


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def rows(path, macro, columns):
    """The records of a .def: lists of strings."""
    word = r"\s*([\w\[\]-]+)\s*"
    text = r'\s*"((?:[^"\\]|\\.)*)"\s*'
    pattern = macro + r"\(" + ",".join(text if c == '"' else word for c in columns) + r"\)"
    source = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
    found = re.findall(rf"^{pattern}$", source, re.M)
    if len(found) != len(re.findall(rf"^{macro}\(", source, re.M)) or not found:
        sys.exit(f"conf.py: {path}: there is a record that is not understood")
    return found


def number(text):
    return DUR_MAX_US if text == "DUR_MAX_US" else int(text)


def shortest(value, units):
    for name, size in units:
        if value >= size and value % size == 0:
            return f"{value // size}{name}"
    return str(value)


def value_range(kind, least, most):
    if kind == "MODE":
        return f" From {int(least):03o} to {int(most):03o}."
    units = {
        "PERCENT": [("%", 1)],
        "LIMIT": [],
        "INT": [],
        "SIZE": [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)],
        "DUR": [("d", 86400 * 10**6), ("h", 3600 * 10**6), ("m", 60 * 10**6), ("s", 10**6), ("ms", 1000), ("us", 1)],
    }
    units["LIMITSIZE"] = units["SIZE"]
    units["LIMITTIME"] = [(name, size // 10**6) for name, size in units["DUR"] if size >= 10**6]
    if kind not in units:
        return ""
    return f" From {shortest(number(least), units[kind])} to {shortest(number(most), units[kind])}."


ARGUMENT = {"PERCENT": "PERCENTAGE", "MODE": "MODE", "INT": "NUMBER", "SIZE": "SIZE", "DUR": "SPAN", "SIGNAL": "SIGNAL", "NAMES": "NAME,...", "COMMAND": "COMMAND"}
LITERAL = {
    "LIMIT": "Ar NUMBER | Cm infinity", "LIMITSIZE": "Ar SIZE | Cm infinity", "LIMITTIME": "Ar SPAN | Cm infinity",
    "ENVMODE": "Cm all | none | Ar NAME,...", "ONINTERRUPT": "Cm hold | retry",
    "OUTPUTTO": "Cm file | journal | both"}
REACH = {"RELOAD": "", "NEW": " A reload acts on jobs that start later.", "RESTART": " A reload does not change it."}


def mdoc(text):
    """Prose as mdoc: one sentence a line, nothing that a formatter would take for its own."""
    text = re.sub(r"(?<!\w)-", r"\\-", text.replace("\\", "\\e"))
    sentences = re.sub(r"([.:;]) +(?=[A-Z])", r"\1\n", text).split("\n")
    lines = [line for s in sentences for line in textwrap.wrap(s, 79, break_long_words=False, break_on_hyphens=False)]
    return "".join(("\\&" if line[0] in ".'" else "") + line + "\n" for line in lines)


def item(key, kind, doc, default=None):
    text = f".It Ic {key} Ns = Ns Ar {ARGUMENT[kind]}\n" if kind not in LITERAL else \
        f".It Ic {key} Ns = Ns {LITERAL[kind]}\n"
    text += mdoc(doc)
    if default is not None:
        text += mdoc(f"Default: {default}." if default else "Empty by default.")
    return text


def key_tables():
    out, last = "", ""
    for section, key, kind, _, default, least, most, reach, doc in rows("daemon/core/policy.def", "CONF", 'wwww"www"'):
        if section != last:
            out += (".El\n" if last else "") + f".Ss Section {section}\n.Bl -tag -width Ds\n"
        last = section
        out += item(key, kind, doc + value_range(kind, least, most) + REACH[reach], default)
    return out + ".El\n"


def class_table():
    out = ".Bl -tag -width Ds\n"
    for key, kind, _, least, most, reach, doc in rows("daemon/core/class.def", "CLASS_CONF", 'wwwwww"'):
        out += item(key, kind, doc + value_range(kind, least, most) + REACH[reach])
    return out + ".El\n"


def man():
    page = read("man/ctxd.conf.5.in")
    for mark, text in (("@KEYS@\n", key_tables()), ("@CLASS_KEYS@\n", class_table())):
        if page.count(mark) != 1:
            sys.exit(f"conf.py: man/ctxd.conf.5.in must have {mark.strip()} once")
        page = page.replace(mark, text)
    head = '.\\" Made from ctxd.conf.5.in by tools/conf.py: edit that, or the .def of the key, and run `make conf`.\n'
    return head + page


def conf():
    program = os.path.join(ROOT, os.environ.get("B", "build"), "ctxd")
    out = subprocess.run([program, "--user", "--print-config"], env={"HOME": "/nonexistent"}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.sub(r"^(?=[a-z_]+=)", "#", out, flags=re.M)


def main():
    if sys.argv[1:] not in (["conf"], ["man"]):
        sys.exit(__doc__)
    sys.stdout.write(conf() if sys.argv[1] == "conf" else man())


if __name__ == "__main__":
    main()
