#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One command from data to model file: trains the tiny model and writes it with its tokenizer inside.
set -eu
usage() {
    cat <<'TEXT'
usage: run.sh OUT [GIVEN]
  OUT    a new folder for data, environment, checkpoint, log, learning curve and model file
  GIVEN  a data folder that stands in for package registries out of reach; its hashes are checked
Needs build/onepeace (./dev build) and python3 with venv. ENV=FOLDER uses an existing environment.
FETCH=no takes GIVEN as it is: the very bytes that the published model was trained on. STEPS=N trains for
fewer steps than the published 5600 (with the finish of 800, about 95 minutes on two cores).
TEXT
}
case ${1:-} in '' | -h | --help) usage; exit 2 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
program=$here/../../../build/onepeace
[ -x "$program" ] || { echo "run.sh: $program is missing: run ./dev build first" >&2; exit 1; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
given=${2:+given=$(cd "$2" && pwd)}
env=${ENV:-$out/env}
if [ ! -x "$env/bin/python" ]; then
    python3 -m venv "$env"
    "$env/bin/pip" install -q -r "$here/requirements.txt"
fi
python=$env/bin/python
# shellcheck disable=SC2086  # given is one word or none
"$python" "$here/data/build.py" "out=$out/data" $given ${2:+differing=given} "fetch=${FETCH:-yes}"
echo "training; progress is in $out/train.log" >&2
"$python" "$here/train.py" "data=$out/data" "out=$out/tiny" "steps=${STEPS:-5600}" \
    "finish=$((${STEPS:-5600} / 7))" evaluate_every=400 \
    >"$out/train.log" 2>&1 || { tail -n 20 "$out/train.log" >&2; exit 1; }
"$python" "$here/export.py" "$out/tiny.pt" "$out/export" "data=$out/data"
"$program" convert "$out/export/onepeace-tiny.pt" "$out/onepeace-tiny.safetensors" --dtype f16 \
    --tokenizer "$out/export/BPE"
"$python" "$here/evaluate_program.py" "data=$out/data" "model=$out/onepeace-tiny.safetensors" \
    "concepts=$out/export/concepts.txt"
