#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The main job on real input: a picture, a sound and some words to embeddings and similarities,
# compared with the embeddings that upstream's Python gave. Run by `./dev test`.
set -eu
data=tests/data/golden
model=$data/micro/ckpt/retrieval_fp32.pt
scratch=$(mktemp -d "${TMPDIR:-/tmp}/onepeace-upstream.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# Shows a command, arguments with spaces quoted, and runs it.
run() {
    printf '\n$'
    for word in "$@"; do
        case $word in
        *' '*) printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$@"
}

cat <<'TEXT'

This uses a small checkpoint (D 64, 3 layers) with seeded, untrained weights: the similarities
below carry no meaning. What they show is that every number equals upstream's. The picture is
tests/data/golden/own/scene.png, the sound chirps.wav beside it.
TEXT

set -- --text 'a photo of a dog' --text cow --text dog --text elephant \
    --image $data/own/scene.png --audio $data/own/chirps.wav

run build/onepeace similarity --model $model --tokenizer $data/micro/bpe "$@"
run build/onepeace embed --model $model --tokenizer $data/micro/bpe "$@" -o "$scratch/rows.npy"

echo
golden=$data/micro/golden
python3 tests/distance.py "$scratch/rows.npy" $golden/text/emb_single.npy:0 \
    $golden/labels/emb.npy:0 $golden/labels/emb.npy:1 $golden/labels/emb.npy:2 \
    $data/own/image_emb.npy:0 $data/own/audio_emb.npy:0
