# The programs with named points to die at, and the tests that go through all of them.
ifneq ($(CRASH),)
override CPPFLAGS += -DCTX_CRASH_POINTS
endif

CRASH_BUILD ?= build-crash
check-crash:				## kill each program at every point of RECOVERY.md and at every system call
	$(MAKE) B=$(CRASH_BUILD) CRASH=1 programs
	CTX_BUILD=$(abspath $(CRASH_BUILD)) prove --comments --failures -e tools/testrun.py tests/crash/points.t tests/crash/calls.py
.PHONY: check-crash
