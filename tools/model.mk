# The model of the recovery protocol. Included by the Makefile.

model:					## check the model of the recovery protocol, and that it notices each wrong one (spin)
	tests/model/run.sh

lint-shell: SCRIPTS += tests/model/run.sh
.PHONY: model
