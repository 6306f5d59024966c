# Files made from the tables of the configuration. Included by the Makefile.

conf: $(B)/ctxd				## rewrite conf/ctxd.conf and man/ctxd.conf.5 after a change of a .def
	B=$(B) tools/conf.py conf >$(B)/ctxd.conf && mv $(B)/ctxd.conf conf/ctxd.conf
	tools/conf.py man >$(B)/ctxd.conf.5 && mv $(B)/ctxd.conf.5 man/ctxd.conf.5

.PHONY: conf
