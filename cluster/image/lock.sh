#!/bin/sh
# Locks what the images install, and what users may (requirements.lock beside pyproject.toml), with hashes, by uv. Run it
# after a change of the dependencies:
#
#   pip install uv && sh cluster/image/lock.sh
set -eu
cd "$(dirname "$0")"

compile() {
    uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
        --no-annotate --no-header --no-emit-index-url --no-emit-find-links "$@" >/dev/null
}
names() {
    sed -n 's/^\([a-z0-9._-]*\)==.*/\1/p' "$1"
}
leave_out() {
    for name in "$@"; do printf -- '--no-emit-package %s ' "$name"; done
}

# For users: any system and Python that the program runs on.
(cd ../.. && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
    --no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock >/dev/null)

# PyTorch's own index has the CPU builds.
compile --no-deps --index-url "${TORCH_CPU_INDEX:-https://download.pytorch.org/whl/cpu}" torch-cpu.in \
    --output-file torch-cpu.lock

# torch and what only its GPU builds need go into a file of their own.
compile torch.in --output-file torch-gpu.lock
gpu=$(names torch-gpu.lock | grep -E '^(torch|triton|nvidia-.*|cuda-.*)$')
# shellcheck disable=SC2046,SC2086
compile ../../pyproject.toml more.in --extra asr --extra cluster --extra eval --extra parquet --extra s3 --extra vad --constraint torch.in \
    $(leave_out $gpu) --output-file requirements.lock
sed -n 's/^\([a-z0-9._-]*==[^ ]*\) .*/\1/p' requirements.lock >requirements.tmp
# shellcheck disable=SC2046
compile torch.in --constraint requirements.tmp $(leave_out $(names requirements.lock)) --output-file torch-gpu.lock
rm requirements.tmp
