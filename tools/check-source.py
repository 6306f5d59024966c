#!/usr/bin/python3
"""check-source.py - what no compiler checks about this tree. Run by `make check-source` (part of `make lint`).

  layers      an #include "dir/…" runs downwards only; each outside library is seen by the folders that may see it
  prefixes    a file foo.c exports only foo_*; a module of several files shares the prefix of its header or folder (nm)
  banned      calls with a better way, outside the file that is the better way
  headers     every header compiles alone and has its guard
  waiting     no test waits by the clock (a line may say why it may: allow-sleep)
  marks       nothing unfinished: no TODO; a FIXME names its condition
  modes       what begins with #! can be run
  generated   checked-in files that come from a .def are current
  mutants     each mistake of tests/mutants can still be made: the code that it changes is there, once
Sizes are reported, never enforced: make check-source prints the files over 600 lines.
"""
import argparse
import ast
import concurrent.futures
import glob
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Folder -> the folders whose headers it may include (itself always). DESIGN: includes run downwards only.
LAYERS = {
    "lib/base": [],
    "lib/varlink": ["lib/base"],
    "lib/trace": ["lib/base"],
    "lib/record": ["lib/base"],
    "lib/client": ["lib/base", "lib/varlink"],
    "lib/metrics": ["lib/base"],
    "spawner": ["lib/base", "lib/record"],
    "daemon/core": ["lib/base", "lib/trace"],
    "daemon/store": ["lib/base", "lib/trace", "daemon/core"],
    "daemon/exec": ["lib/base", "lib/trace", "lib/record", "daemon/core"],
    "daemon/engine": ["lib/base", "lib/trace", "lib/record", "daemon/core", "daemon/store", "daemon/exec"],
    "daemon/api": ["lib/base", "lib/trace", "lib/varlink", "daemon/core", "daemon/engine"],
    "daemon": ["lib/base", "lib/trace", "lib/varlink", "lib/record", "daemon/core", "daemon/store", "daemon/exec", "daemon/engine",
               "daemon/api"],
    "cli": ["lib/base", "lib/client", "lib/metrics", "lib/varlink"],
    "exporter": ["lib/base", "lib/client", "lib/metrics", "lib/varlink"],
}

# Single headers that may be seen from further up than their folder.
ALSO = {
    "daemon/api": ["exec/output.h", "exec/follow.h", "exec/journal_read.h"],  # Logs reads output; what it may read is for the engine to say
}

# Header of an outside library -> the folders that may include it.
OUTSIDE = {
    "sqlite3.h": ["daemon/store"],
    "ev.h": ["daemon/exec", "daemon/engine", "daemon/api", "daemon"],
    "jansson.h": ["lib/varlink", "lib/client", "lib/metrics", "daemon/api", "cli", "exporter"],
    "ini.h": ["daemon"],
    "systemd/": ["daemon/api", "daemon"],
}

# Folders and files whose exported names have a prefix that neither the file nor the folder gives.
PREFIXES = {
    "lib/client": ["ctxd_"],
    "lib/base/clock.c": ["mono_", "wall_", "dur_"],
    "lib/base/err.c": ["ctx_err_"],
}

BANNED = {
    "strcpy": "buf_puts, or memcpy with a checked size",
    "strcat": "buf_puts",
    "strncat": "buf_puts",
    "sprintf": "snprintf or buf_printf",
    "vsprintf": "vsnprintf",
    "gets": "file_read_full",
    "atoi": "text_i64",
    "atol": "text_i64",
    "atoll": "text_i64",
    "atof": "text_i64",
    "strtol": "text_i64",
    "strtoll": "text_i64",
    "strtoul": "text_u64",
    "strtoull": "text_u64",
    "strtoimax": "text_i64",
    "strtoumax": "text_u64",
    "system": "execve",
    "popen": "execve",
    "sleep": "a timer, or the event itself",
    "usleep": "a timer, or the event itself",
    "alloca": "malloc with _free_",
    "tmpnam": "mkstemp",
    "tempnam": "mkstemp",
    "mktemp": "mkstemp",
    "strtok": "strchr",
}
BANNED_EXCEPT = {"lib/base/text.c": {"strtol", "strtoll", "strtoul", "strtoull", "strtoimax", "strtoumax"}}

problems = []


def bad(place, text):
    problems.append(f"{place}: {text}")


def sources(*patterns):
    found = []
    for p in patterns:
        found += glob.glob(os.path.join(ROOT, p), recursive=True)
    return sorted(os.path.relpath(f, ROOT) for f in found)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def bare(text):
    """C text without comments, strings and characters; line numbers stay."""

    def blank(m):
        s = m.group(0)
        return "\n" * s.count("\n") if s.startswith("/") else '""' + "\n" * s.count("\n")

    return re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def code_files():
    return [f for folder in LAYERS for f in sources(f"{folder}/*.c", f"{folder}/*.h")]


def check_layers():
    names = {}
    for folder in LAYERS:
        parts = folder.split("/")
        names.setdefault(parts[-1], folder)
    for path in code_files():
        folder = os.path.dirname(path)
        for n, line in enumerate(read(path).split("\n"), 1):
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if not m:
                continue
            place, target = f"{path}:{n}", m.group(2)
            if m.group(1) == '"':
                if "/" not in target:
                    owner = folder if os.path.exists(os.path.join(ROOT, folder, target)) else None
                    if owner != "daemon":
                        bad(place, f'"{target}": say which folder it is from')
                    continue
                first = os.path.dirname(target)
                owner = names.get(first, first)
                if owner not in LAYERS:
                    if not (target.endswith(".inc") or os.path.exists(os.path.join(ROOT, target))):
                        bad(place, f'"{target}": no folder of the table')
                elif owner != folder and owner not in LAYERS[folder] and target not in ALSO.get(folder, []):
                    bad(place, f'"{target}": {folder} may not look into {owner}')
            else:
                for lib, allowed in OUTSIDE.items():
                    if target.startswith(lib) and folder not in allowed:
                        bad(place, f"<{target}> is for {', '.join(allowed)} only")


def check_prefixes(build):
    for folder in LAYERS:
        for src in sources(f"{folder}/*.c"):
            obj = os.path.join(ROOT, build, src[:-2] + ".o")
            if not os.path.exists(obj):
                bad(src, "not built, so its exported names cannot be checked (run make first)")
                continue
            stem = os.path.basename(src)[:-2]
            words = stem.split("_")
            allowed = ["_".join(words[:k]) + "_" for k in range(1, len(words) + 1)]
            allowed += [os.path.basename(folder) + "_", *PREFIXES.get(folder, []), *PREFIXES.get(src, [])]
            out = subprocess.run(["nm", "-g", "--defined-only", obj], capture_output=True, text=True, check=True).stdout
            for line in out.splitlines():
                name = line.split()[-1]
                if name in ("main", stem) or name.startswith(("__asan", "__odr", "_GLOBAL_")):
                    continue
                if not name.startswith(tuple(allowed)):
                    bad(src, f"exports {name}, which is none of {', '.join(dict.fromkeys(allowed))}")


def check_banned():
    call = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path in code_files():
        ignore = BANNED_EXCEPT.get(path, set())
        for n, line in enumerate(bare(read(path)).split("\n"), 1):
            for m in call.finditer(line):
                if m.group(1) not in ignore:
                    bad(f"{path}:{n}", f"{m.group(1)}() is banned; use {BANNED[m.group(1)]}")


def check_headers(cc, flags):
    headers = [f for f in code_files() if f.endswith(".h")]

    def alone(path):
        return subprocess.run([*cc, *flags, "-fsyntax-only", "-x", "c", "-include", path, "/dev/null"],
                              cwd=ROOT, capture_output=True, text=True, check=False)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, r in zip(headers, pool.map(alone, headers)):
            if r.returncode:
                bad(path, "does not compile alone:\n" + r.stderr)
    for path in headers:
        m = re.search(r"^#ifndef (\w+)\n#define (\w+)$", read(path), re.M)
        if not m or m.group(1) != m.group(2):
            bad(path, "has no include guard")


def check_waiting():
    for path in sources("tests/unit/*.[ch]", "tests/scenario/**/*.[ch]", "tests/crash/**/*.[ch]"):
        text, raw = bare(read(path)).split("\n"), read(path).split("\n")
        for n, line in enumerate(text, 1):
            if re.search(r"\b(sleep|usleep|nanosleep|clock_nanosleep)\s*\(", line) and "allow-sleep" not in raw[n - 1]:
                bad(f"{path}:{n}", "waits by the clock")
    for path in sources("tests/**/*.t", "tests/**/*.sh", "tests/**/*.py"):
        text = read(path)
        lines = text.split("\n")
        if "python" in lines[0] or path.endswith(".py"):
            found = python_sleeps(path, text)
        else:
            # `sleep 60 &` makes a process to look at, and what is quoted is for a job; neither is waiting.
            bare_lines = [re.sub(r"'[^']*'|\"[^\"]*\"", "''", line) for line in lines]
            found = [n for n, line in enumerate(bare_lines, 1)
                     if re.search(r"(^|[;&|]|\bdo|\bthen)\s*sleep\s+[\d.$]", line)
                     and not re.search(r"sleep\s+\S+\s*&(\s|$)", line)]
        for n in found:
            if "allow-sleep" not in lines[n - 1]:
                bad(f"{path}:{n}", "waits by the clock")


def python_sleeps(path, text):
    """Lines of calls of time.sleep; the text of jobs is in strings and does not count."""
    try:
        tree = ast.parse(text)
    except SyntaxError as e:
        bad(f"{path}:{e.lineno}", "is no Python")
        return []
    return [node.lineno for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep")]


def all_files():
    """Paths of what belongs to the project; in an unpacked tarball, which knows no git, everything but what was built."""
    if os.path.exists(os.path.join(ROOT, ".git")):
        return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = []
    for where, dirs, files in os.walk(ROOT):
        dirs[:] = [d for d in dirs if not (where == ROOT and (d == "build" or d.startswith("build-"))) and d != "__pycache__"]
        found += [os.path.relpath(os.path.join(where, f), ROOT) for f in files]
    return sorted(found)


def check_marks():
    unfinished = "|".join(["TO" + "DO", "X" + "XX", "HA" + "CK"])
    for path in all_files():
        if not os.path.isfile(os.path.join(ROOT, path)):
            continue
        try:
            text = read(path)
        except UnicodeDecodeError:
            continue
        for n, line in enumerate(text.split("\n"), 1):
            if re.search(rf"\b({unfinished})\b", line) and path != "tools/check-source.py":
                bad(f"{path}:{n}", "unfinished")
            if re.search(r"\bFIXME\b", line) and not re.search(r"FIXME: .*\b(when|once|until|if|as soon as)\b", line) \
                    and not path.endswith(("check-source.py",)):
                bad(f"{path}:{n}", "a FIXME says when it is to be mended")


def check_modes():
    """What begins with #! is to be run, so it can be."""
    for path in sources("quickstart", "runtests", ".ci/run", "tools/*", "tests/**/*"):
        full = os.path.join(ROOT, path)
        if os.path.isfile(full) and not os.access(full, os.X_OK):
            with open(full, "rb") as f:
                if f.read(2) == b"#!":
                    bad(path, "is not executable")


def check_generated(build):
    """Each file that tools/generated.txt names is what its command prints."""
    table = os.path.join(ROOT, "tools", "generated.txt")
    if not os.path.exists(table):
        return
    for line in read("tools/generated.txt").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        path, command = line.split(None, 1)
        r = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False,
                           env={**os.environ, "B": build})
        if r.returncode:
            bad(path, f"`{command}` failed: {r.stderr.strip()}")
        elif r.stdout != read(path):
            bad(path, f"is not current; run: B={build}; {command} >{path}")


def check_mutants():
    sys.path.insert(0, os.path.join(ROOT, "tests", "mutants"))
    from mutants import MUTANTS

    for _, what, path, old, _, _ in MUTANTS:
        n = read(path).count(old)
        if n != 1:
            bad(path, f"the code that the wrong program \"{what}\" of tests/mutants changes is there {n} times")


def report_sizes():
    big = [(read(f).count("\n"), f) for f in code_files()]
    for lines, f in sorted(big, reverse=True):
        if lines > (600 if f.endswith(".c") else 150):
            print(f"note: {f} has {lines} lines", file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build", help="where the objects are")
    args = p.parse_args()
    flags = shlex.split(os.environ.get("CTX_FLAGS", "-D_GNU_SOURCE -std=gnu11 -Ilib -Idaemon -I."))
    check_layers()
    check_prefixes(args.build)
    check_banned()
    check_headers(shlex.split(os.environ.get("CC", "cc")), flags)
    check_waiting()
    check_marks()
    check_modes()
    check_generated(args.build)
    check_mutants()
    report_sizes()
    for text in problems:
        print(text, file=sys.stderr)
    if problems:
        print(f"check-source: {len(problems)} problems", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
