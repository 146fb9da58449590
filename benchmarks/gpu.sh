#!/bin/sh
# One GPU, at most 8 minutes with 16 cores: the tests that need one, then the figures of benchmarks/gpu.py.
#
#   sh benchmarks/gpu.sh [--original FOLDER] [--seconds 20]    on a machine with a GPU
#   sh benchmarks/gpu.sh --cpu --quick                         anywhere: proves that the script works
#
# PYTHON names the interpreter. The exit status is that of the tests; the figures are printed whatever they say.
set -u
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-python}
TESTS="tests/integration/test_gpu.py tests/contract/test_planes.py tests/contract/test_lights.py tests/contract/test_compositors.py
       tests/unit/nets/test_fixed_call.py tests/unit/lipsync/test_device_surfaces.py"
collect=
case " $* " in *" --quick "*) collect=--collect-only ;; esac
begin=$(date +%s)
# shellcheck disable=SC2086  # several files
timeout 180 "$PYTHON" -m pytest -q -p no:xdist -p no:cacheprovider $collect $TESTS
status=$?
left=$((460 - $(date +%s) + begin))
timeout "$left" "$PYTHON" -m benchmarks.gpu --most-s $((left - 80)) "$@" || exit 1
exit $status
