# make mutants: one mistake after the other is built into a copy of the sources, and a test has to notice it. Included by the Makefile.
MUTANTS ?=
mutants:				## does the suite notice a broken promise? one wrong program each (MUTANTS=PATTERN)
	tests/mutants/mutants.py $(MUTANTS)
.PHONY: mutants
