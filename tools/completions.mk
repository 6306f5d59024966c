# Completion of ctxctl in bash, zsh and fish. Included by the Makefile. What they offer is no part of them: ctxctl knows it.
SHAREDIR := $(DESTDIR)$(PREFIX)/share
install: install-completions
install-completions:
	install -d $(SHAREDIR)/bash-completion/completions $(SHAREDIR)/zsh/site-functions $(SHAREDIR)/fish/vendor_completions.d
	install -m 644 completions/ctxctl.bash $(SHAREDIR)/bash-completion/completions/ctxctl
	install -m 644 completions/_ctxctl $(SHAREDIR)/zsh/site-functions/_ctxctl
	install -m 644 completions/ctxctl.fish $(SHAREDIR)/fish/vendor_completions.d/ctxctl.fish

lint-shell: SCRIPTS += completions/ctxctl.bash
.PHONY: install-completions
