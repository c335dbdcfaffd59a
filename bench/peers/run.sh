#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The encoder beside PyTorch, ONNX Runtime and OpenVINO, with the same weights, in one run:
#   bench/peers/run.sh [--layers N] [--out FILE] ...      (--help lists the rest)
# The first time it makes bench/peers/.venv (about 6 GB) from requirements.txt. Needs a build folder
# (./dev build), Python 3.10 or newer, a C++ compiler for torch.compile, and for four layers 12 GB of
# memory and 3 GB of disk for the model.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
build=${ONEPEACE_BUILD:-$root/build}
venv=$here/.venv

if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$venv/requirements.txt"
fi
ninja -C "$build" bench/onepeace-bench-ours tests/golden/onepeace-make-model >&2
exec "$venv/bin/python" "$here/run.py" --build "$build" "$@"
