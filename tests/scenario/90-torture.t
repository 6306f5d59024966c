#!/bin/sh
# A short torture in every run of the tests; `make torture SECONDS=600` for a long one.
exec python3 "$(dirname "$0")/../crash/torture.py" "${TORTURE_SECONDS:-12}"
