# What is given to others. Included by the Makefile.

DIST_REF ?= HEAD
DIST := ctx-$(VERSION)

# The same commit makes the same bytes: times are the commit's, owners root, nothing of this machine is in it.
dist:					## ctx-VERSION.tar.gz of the commit DIST_REF=HEAD, in B
	@mkdir -p $(B)
	git -c tar.umask=0022 archive --format=tar --prefix=$(DIST)/ -o $(B)/$(DIST).tar $(DIST_REF)
	gzip -9nf $(B)/$(DIST).tar

# The Makefile's version is the one; these only repeat it.
lint-version:
	@rc=0; check() { [ "$$2" = "$(VERSION)" ] || { echo "$$1 has version $$2, the Makefile $(VERSION)" >&2; rc=1; }; }; \
	check debian/changelog "$$(sed -n '1s/^ctx (\([^)]*\)).*/\1/p' debian/changelog)"; \
	check packaging/rpm/ctx.spec "$$(sed -n 's/^Version: *//p' packaging/rpm/ctx.spec)"; \
	check packaging/alpine/APKBUILD "$$(sed -n 's/^pkgver=//p' packaging/alpine/APKBUILD)"; \
	exit $$rc

.PHONY: dist lint-version
