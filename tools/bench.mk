# make bench: the figures of tests/bench/bench.py, on the built programs.
BENCH_TOOLS := $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(wildcard tests/bench/*.c))
$(B)/tests/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(WARN) -o $@ $<

bench: all $(BENCH_TOOLS)
	CTX_BUILD=$(abspath $(B)) python3 tests/bench/bench.py $(BENCH)

SECONDS ?= 60
torture: all				## kill everything at random under load, SECONDS=60 (SEED= to repeat)
	CTX_BUILD=$(abspath $(B)) python3 tests/crash/torture.py $(SECONDS) $(SEED)
.PHONY: torture
