# ctx: detached contexts for Unix commands. `make help` lists the targets.
# A folder is a module, so its objects are its .c files; each layer is an archive, and a call upwards fails to link.

.DEFAULT_GOAL := all
VERSION := 0.1.0
B ?= build
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
LIBDIR ?= $(PREFIX)/lib
UNITDIR ?= $(PREFIX)/lib/systemd/system
USERUNITDIR ?= $(PREFIX)/lib/systemd/user
# yes: `systemctl reload` waits; for systemd 253 and later.
NOTIFY_RELOAD ?= no
CC ?= cc
PKGCONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format

SANITIZE ?=
OPT ?= -O2 -g
# A warning stops the build here; a packager whose compiler knows more of them says WERROR=.
WERROR ?= -Werror
# What the caller's CPPFLAGS and CFLAGS say comes last and wins; so does another degree of fortification.
FORTIFY := $(if $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS))$(filter -O0,$(CFLAGS)),,-D_FORTIFY_SOURCE=2)
HARDEN := -fstack-protector-strong $(FORTIFY) -fPIE -fstack-clash-protection
ifneq ($(SANITIZE),)
OPT := -O1 -g -fno-omit-frame-pointer
HARDEN := -fPIE -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
endif
WARN := -Wall -Wextra $(WERROR) -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wcast-qual -Wswitch-enum -Wformat=2
override CPPFLAGS += -D_GNU_SOURCE -DCTX_VERSION='"$(VERSION)"' -DCTX_LIBEXECDIR='"$(PREFIX)/libexec/ctxd"' \
	-DCTX_SYSCONFDIR='"$(SYSCONFDIR)"' -Ilib -Idaemon -I. -I$(B)
override CFLAGS := -std=gnu11 $(OPT) $(HARDEN) $(WARN) -fvisibility=hidden $(CFLAGS)
override LDFLAGS += -pie -Wl,-z,relro,-z,now $(if $(SANITIZE),-fsanitize=$(SANITIZE))
# The spawner is static: nothing but libc, and a monitor (a fork of it) stays small. So is ctxctl: a dynamic start costs
# users a tenth of each call. A sanitizer cannot be linked statically.
STATIC := $(if $(SANITIZE),,-static-pie)
# Empty where the distribution has no libjansson.a.
STATIC_CTXCTL ?= $(STATIC)
# clang takes -pie beside -static-pie for a mistake.
static_ldflags = $(if $(1),$(filter-out -pie,$(LDFLAGS)) $(1),$(LDFLAGS))

EV_LIBS := -lev
JANSSON_CFLAGS := $(shell $(PKGCONFIG) --cflags jansson 2>/dev/null)
JANSSON_LIBS := $(shell $(PKGCONFIG) --libs jansson 2>/dev/null || echo -ljansson)
SQLITE_LIBS := $(shell $(PKGCONFIG) --libs sqlite3 2>/dev/null || echo -lsqlite3)
INIH_LIBS := $(shell $(PKGCONFIG) --libs inih 2>/dev/null || echo -linih)
override CPPFLAGS += $(JANSSON_CFLAGS)

LAYERS := lib/base lib/trace lib/record lib/varlink lib/client lib/metrics daemon/core daemon/store daemon/exec daemon/engine daemon/api
objs = $(patsubst %.c,$(B)/%.o,$(sort $(wildcard $(1)/*.c)))
lib = $(foreach l,$(1),$(B)/lib$(notdir $(l)).a)

PROGRAMS := $(B)/ctxd $(B)/ctxctl $(B)/ctx-spawner
# The exporter is a program by itself, and built where its HTTP server (libmicrohttpd) and client (libcurl) are to be had.
EXPORTER_LIBS := $(shell $(PKGCONFIG) --libs libmicrohttpd libcurl 2>/dev/null)
PROGRAMS += $(if $(EXPORTER_LIBS),$(B)/ctx-exporter)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
# What belongs to the exporter is installed with it.
WITHOUT := $(if $(EXPORTER_LIBS),,man/ctx-exporter.8 systemd/ctx-exporter.service systemd/ctx-exporter.socket)
MANPAGES := $(filter-out $(WITHOUT),$(wildcard man/*.[1-8]))
UNITS := $(filter-out $(WITHOUT),$(wildcard systemd/*.service systemd/*.socket))

# libctxd for others: the same code as in ctxctl, position independent, with a map of what it shows.
SO_VERSION := 0
SHARED := $(B)/libctxd.so.$(SO_VERSION)
PIC_OBJS := $(patsubst $(B)/%,$(B)/pic/%,$(call objs,lib/client) $(call objs,lib/varlink) $(call objs,lib/base))
$(SHARED): $(PIC_OBJS) lib/client/libctxd.map
	$(CC) $(CFLAGS) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,$(notdir $@) -Wl,--version-script=lib/client/libctxd.map \
		-Wl,--no-undefined -o $@ $(PIC_OBJS) $(JANSSON_LIBS)
$(B)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(CFLAGS)) -fPIC -MMD -MP -c -o $@ $<

all: programs lib
programs: $(PROGRAMS)
lib: $(SHARED)

# The notify and socket activation protocols are spoken directly: two variables and a datagram need no library.
$(B)/ctxd: $(call objs,daemon) $(call lib,api engine exec store core varlink record trace base)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(EV_LIBS) $(SQLITE_LIBS) $(INIH_LIBS) $(JANSSON_LIBS)
$(B)/ctxctl: $(call objs,cli) $(call lib,client metrics varlink base)
	$(CC) $(CFLAGS) $(call static_ldflags,$(STATIC_CTXCTL)) -o $@ $^ $(JANSSON_LIBS) -lm
$(B)/ctx-spawner: $(call objs,spawner) $(call lib,record base)
	$(CC) $(CFLAGS) $(call static_ldflags,$(STATIC)) -o $@ $^

$(B)/ctx-exporter: $(call objs,exporter) $(call lib,client metrics varlink base)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(EXPORTER_LIBS) $(JANSSON_LIBS) -lm

define layer_rule
$(call lib,$(1)): $(call objs,$(1))
	rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call layer_rule,$(l))))

# The interface description is one file: served by the daemon, installed, tested.
$(B)/daemon/api/idl.o: daemon/api/io.ctxd.varlink
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The configuration is of the daemon itself, not of a layer.
CONFIG_OBJS := $(filter $(B)/daemon/config%.o $(B)/daemon/names.o,$(call objs,daemon))
# Unit tests see a module through its public header and link whatever layers there are.
$(B)/tests/unit/%: tests/unit/%.c tests/unit/tap.h $(CONFIG_OBJS) $(call lib,api engine exec store core client metrics varlink record trace base)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(filter %.o,$^) $(filter %.a,$^) \
		$(EV_LIBS) $(SQLITE_LIBS) $(INIH_LIBS) $(JANSSON_LIBS)
$(B)/tests/unit/test_idl: $(B)/daemon/api/idl.o

include $(wildcard tools/*.mk)

# libctxd alone, for those who build against it.
install-lib: lib
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include/ctxd
	install -m 755 $(SHARED) $(DESTDIR)$(LIBDIR)/libctxd.so.$(VERSION)
	ln -sf libctxd.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libctxd.so.$(SO_VERSION)
	ln -sf libctxd.so.$(SO_VERSION) $(DESTDIR)$(LIBDIR)/libctxd.so
	install -m 644 lib/client/client.h $(DESTDIR)$(PREFIX)/include/ctxd/client.h
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' lib/client/libctxd.pc.in \
		>$(DESTDIR)$(LIBDIR)/pkgconfig/libctxd.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/libctxd.pc

install: all install-lib
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/libexec/ctxd
	install -m 755 $(B)/ctxctl $(DESTDIR)$(PREFIX)/bin/ctxctl
	install -m 755 $(B)/ctxd $(DESTDIR)$(PREFIX)/sbin/ctxd
	install -m 755 $(B)/ctx-spawner $(DESTDIR)$(PREFIX)/libexec/ctxd/ctx-spawner
	$(if $(EXPORTER_LIBS),install -m 755 $(B)/ctx-exporter $(DESTDIR)$(PREFIX)/libexec/ctxd/ctx-exporter)
	for m in $(MANPAGES); do d=$(DESTDIR)$(PREFIX)/share/man/man$${m##*.}; install -d "$$d" && install -m 644 "$$m" "$$d/"; done
	install -d $(DESTDIR)$(PREFIX)/share/varlink $(DESTDIR)$(SYSCONFDIR)/ctxd/ctxd.conf.d
	install -m 644 daemon/api/io.ctxd.varlink $(DESTDIR)$(PREFIX)/share/varlink/io.ctxd.varlink
	[ -e $(DESTDIR)$(SYSCONFDIR)/ctxd/ctxd.conf ] || install -m 644 conf/ctxd.conf $(DESTDIR)$(SYSCONFDIR)/ctxd/ctxd.conf
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	for u in $(UNITS); do f=$(DESTDIR)$(UNITDIR)/$${u##*/}; sed 's|@PREFIX@|$(PREFIX)|g' "$$u" >"$$f" && chmod 644 "$$f" || exit 1; done
	install -d $(DESTDIR)$(USERUNITDIR)
	for u in systemd/user/*.service systemd/user/*.socket; do f=$(DESTDIR)$(USERUNITDIR)/$${u##*/}; \
		sed 's|@PREFIX@|$(PREFIX)|g' "$$u" >"$$f" && chmod 644 "$$f" || exit 1; done
	[ "$(NOTIFY_RELOAD)" != yes ] || for d in $(DESTDIR)$(UNITDIR) $(DESTDIR)$(USERUNITDIR); do \
		install -d "$$d/ctxd.service.d" && install -m 644 systemd/notify-reload.conf "$$d/ctxd.service.d/notify-reload.conf"; done
	install -m 644 systemd/ctxd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/ctxd.conf
	install -m 644 systemd/ctxd.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/ctxd.conf

clean:
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all programs lib install-lib install clean check check-asan check-valgrind check-source fuzz bench lint format help
.DELETE_ON_ERROR:
