#!/usr/bin/python3
"""notify.py SOCKET LOG READY COMMAND [ARG...] - runs COMMAND in this very process with NOTIFY_SOCKET=SOCKET.

A watcher beside it appends each sd_notify message to the file LOG and writes one line to the fifo READY: `ready` when
READY=1 comes, or `ended` when COMMAND ends before that. It leaves when COMMAND has ended. For ctx.sh.
"""
import os
import select
import signal
import socket
import sys


def watch(sock, pidfd, log_path, ready_path):
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    told = False

    def tell(line):
        with open(ready_path, "w", encoding="ascii") as f:
            f.write(line + "\n")

    with open(log_path, "ab", buffering=0) as log:
        while True:
            events = dict(poll.poll())
            if sock.fileno() in events:
                message = sock.recv(8192)
                log.write(message.rstrip(b"\n") + b"\n")
                if not told and b"READY=1" in message.split(b"\n"):
                    told = True
                    tell("ready")
                continue
            if not told:
                tell("ended")
            return


def main():
    path, log_path, ready_path, *command = sys.argv[1:]
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sock.bind(path)
    os.chmod(path, 0o777)
    pidfd = os.pidfd_open(os.getpid())
    child = os.fork()
    if child == 0:
        # A child of a child: COMMAND must not find a child that it did not make.
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)
        watch(sock, pidfd, log_path, ready_path)
        os._exit(0)
    os.waitpid(child, 0)
    os.environ["NOTIFY_SOCKET"] = path
    os.execvp(command[0], command)


main()
