# Tests, checks and helpers. Included by the Makefile; `make help` prints the `##` texts.

SCRIPTS = quickstart runtests .ci/run $(wildcard tools/*.sh) $(wildcard tests/scenario/lib/*.sh) $(wildcard tests/host/inside/*.sh) \
	$(shell grep -lsE '^\#!(/bin/(ba)?sh|/usr/bin/env (ba)?sh)' tests/scenario/*.t tests/host/* tests/bench/* tests/crash/* tools/* 2>/dev/null)
C_SOURCES = $(shell find lib daemon spawner cli tests -name '*.[ch]' | sort)
FUZZ_SECONDS ?= 30
FUZZ_JOBS ?= $(shell nproc)
comma := ,

tests: $(UNIT_TESTS)			## build the unit tests

check: 					## build, run every test, one summary (installs nothing)
	+@./runtests --no-install

check-asan:				## the same with the address and undefined-behaviour sanitizers
	+@B=build-asan SANITIZE=address,undefined CTX_TEST_TIMEOUT=300 ./runtests --no-install

check-valgrind:				## the unit tests under valgrind
	+@CTX_TEST_WRAP='valgrind -q --error-exitcode=99 --leak-check=full --child-silent-after-fork=yes' \
		CTX_TEST_TIMEOUT=600 ./runtests --no-install tests/unit/

check-source lint-tidy: export CTX_FLAGS = $(CPPFLAGS) $(CFLAGS)
check-source: export CC := $(CC)
check-source: all			## layers, exported names, banned calls, headers, generated files
	tools/check-source.py --build $(B)

# Each tests/fuzz/fuzz_NAME.c is a libFuzzer target; its seeds, and what it ever found, are in tests/fuzz/seeds/NAME.
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
$(B)/tests/fuzz/%: tests/fuzz/%.c $(CONFIG_OBJS) $(call lib,engine exec store core client varlink record trace base)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -MMD -MP -o $@ $< $(filter %.o,$^) $(filter %.a,$^) \
		$(EV_LIBS) $(SQLITE_LIBS) $(INIH_LIBS) $(JANSSON_LIBS)
FUZZ_SOCKETS := $(addprefix $(B)/tests/fuzz/fuzz_,spawner monitor link)
$(FUZZ_SOCKETS): override LDFLAGS += $(addprefix -Wl$(comma)--wrap=,log_err log_warn log_info log_debug)
$(filter-out %_link,$(FUZZ_SOCKETS)): $(filter-out %/main.o,$(call objs,spawner))
$(B)/tests/fuzz/fuzz_spawner: override LDFLAGS += -Wl,--wrap=fork
fuzzers: $(FUZZERS)

fuzz:					## fuzz every parser of foreign bytes, FUZZ_SECONDS=30 each, FUZZ_JOBS at once (clang)
	$(MAKE) B=build-fuzz CC=clang SANITIZE=fuzzer-no-link,address,undefined fuzzers
	tools/fuzz.sh build-fuzz $(FUZZ_SECONDS) $(FUZZ_JOBS)


lint: check-source lint-format lint-tidy lint-cppcheck lint-man lint-shell lint-units lint-version	## everything that judges the source
lint-format:
	$(CLANG_FORMAT) --dry-run -Werror $(C_SOURCES)
lint-tidy:
	tools/lint.sh clang-tidy $(filter lib/% daemon/% spawner/% cli/%,$(filter %.c,$(C_SOURCES)))
lint-cppcheck:
	tools/lint.sh cppcheck
lint-man:
	tools/lint.sh mandoc $(MANPAGES)
lint-shell:
	tools/lint.sh shellcheck $(sort $(SCRIPTS))
lint-units:
	tools/lint.sh units

format:					## rewrite the sources with clang-format
	$(CLANG_FORMAT) -i $(C_SOURCES)

help:					## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
	@echo '  variables: B=DIR PREFIX= DESTDIR= CC= SANITIZE=address,undefined'

.PHONY: tests fuzzers lint-format lint-tidy lint-cppcheck lint-man lint-shell lint-units
