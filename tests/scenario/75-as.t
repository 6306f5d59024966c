#!/usr/bin/python3
"""`ctxctl submit --as USER`: whose the job is, what it gets of the one who asks, who may. Needs root."""
import json
import os
import pwd
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from sysdaemon import ALICE, SystemDaemon

if os.geteuid() != 0:
    @case("jobs of another user")
    def _():
        skip("needs root")
    main()

USER = "nobody"
UID = pwd.getpwnam(USER).pw_uid
d = SystemDaemon()


@case("the job is that user's, and gets nothing of the environment that is not named")
def _():
    r = d.ctl("submit", "--as", USER, "-C", "/", "-E", "NAMED", "--shell", "id -u; echo $SECRET:$NAMED:$USER",
              env={"SECRET": "s3cret", "NAMED": "yes"})
    is_(r.code, 0, r.err)
    id = int(r.out)
    d.wait_state(id, "succeeded")
    is_(d.logs(id), f"{UID}\n:yes:{USER}\n")
    job = d.job(id)
    is_((job["uid"], job["user"], job["submitted_by"]), (UID, USER, 0))
    text = d.ctl_ok("status", id)
    like(text, rf"^  user: +{USER} \(uid {UID}")
    like(text, r"^  submitted by: +uid 0$")
    like(d.ctl_ok("list", "--user", USER), rf"^ *{id} .* {USER} ")
    r = d.ctl("run", "--as", UID, "-C", "/", "--env-mode", "SECRET", "--shell", "id -u; echo $SECRET", env={"SECRET": "s3cret"})
    is_((r.code, r.out), (0, f"{UID}\ns3cret\n"))


@case("one's own: as without it; the environment is named all the same")
def _():
    id = int(d.ctl_ok("submit", "--as", USER, "-C", "/", "--env-mode", "all", "env", env={"SECRET": "s3cret"}, uid=UID))
    d.wait_state(id, "succeeded")
    like(d.logs(id), "^SECRET=s3cret$")
    unlike(d.ctl_ok("status", id), "submitted by")


@case("who may not, and who is not there")
def _():
    before = len(json.loads(d.ctl_ok("--json", "list", "--all")))
    r = d.ctl("submit", "--as", USER, "-C", "/", "true", uid=ALICE)
    is_((r.code, r.out), (4, ""))
    like(r.err, "not permitted")
    r = d.ctl("submit", "--as", "no-such-user", "true")
    is_((r.code, r.out), (2, ""))
    like(r.err, "^ctxctl: --as: there is no such user")
    is_(d.ctl("submit", "--as", "", "true").code, 2)
    is_(len(json.loads(d.ctl_ok("--json", "list", "--all"))), before)


main()
