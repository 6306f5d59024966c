# Checked-in files made from others. Included by the Makefile.

conf: $(B)/ctxd				## rewrite conf/ctxd.conf and man/ctxd.conf.5 after a change of a .def
	B=$(B) tools/conf.py conf >$(B)/ctxd.conf && mv $(B)/ctxd.conf conf/ctxd.conf
	tools/conf.py man >$(B)/ctxd.conf.5 && mv $(B)/ctxd.conf.5 man/ctxd.conf.5

protocol:				## rewrite man/ctxd-protocol.7 after a change of the interface description
	sed -e '/^@IDL@$$/{' -e 'r daemon/api/io.ctxd.varlink' -e 'd' -e '}' man/ctxd-protocol.7.in >man/ctxd-protocol.7

.PHONY: conf protocol
