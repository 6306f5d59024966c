# make powercut: cut the power of a machine in QEMU again and again, on one disk. Included by the Makefile.
$(B)/tests/host/powercut-job: tests/host/powercut-job.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(WARN) -static -o $@ $<

CUTS ?= 20
SEED ?=
powercut: programs $(B)/tests/host/powercut-job	## cut the power of a machine in QEMU, CUTS=20 times (SEED= to repeat)
	CTX_BUILD=$(abspath $(B)) CTX_POWERCUT_CUTS=$(CUTS) CTX_POWERCUT_SEED=$(SEED) python3 tests/host/powercut.t
.PHONY: powercut
