#!/usr/bin/env bash
# How the shipped model is made: three public traces, a synthetic fleet for the metrics that they lack, and one of
# servers of no kind for those that are unlike the traces'.
# usage: models/pretrained/train.sh TRACES OUTPUT [STEPS]
# TRACES holds jumpstarter.parquet, bitbrains.parquet, smd.parquet, and beside each the origins that it is scored at.
# Rows from a trace's validation start on are never learned from. Twenty to forty minutes on two cores; their
# number changes no weight.
set -euo pipefail
traces=${1:?folder with the traces} output=${2:?folder for the model directory} steps=${3:-8400}

# No trace gets so much that its few machines are learned by heart; the synthetic fleets stay a minority. Runs that
# watched the newest 8 % said how many steps are enough; this one learns from those too.
exec "$(dirname "$0")/../../target/release/argus" train \
    --input "$traces/jumpstarter.parquet" --validation-start jumpstarter=2020-01-29 --share jumpstarter=0.27 \
    --input "$traces/bitbrains.parquet" --validation-start bitbrains=2013-08-16 --share bitbrains=0.32 \
    --input "$traces/smd.parquet" --validation-start smd=2020-01-24 --share smd=0.25 \
    --synthetic-servers 28 --synthetic-days 21 --synthetic-seed 7 --share synthetic=0.15 \
    --varied-servers 200 --share varied=0.2 \
    --hidden-size 32 --attention-heads 4 --continuous-size 8 --dropout 0 --lag 288 \
    --direct-width 32 --direct-blocks 2 --scale-weight 0.7 --weight-decay 0.1 --average-keep 0.998 \
    --seed 42 --max-steps "$steps" --batch-windows 64 --validate-every 400 --threads 2 --watched-share 0 \
    --output "$output"
