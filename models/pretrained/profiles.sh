#!/usr/bin/env bash
# What knowing a server's profile is worth to the shipped model over the server's first 24 hours: the same forecasts of
# a synthetic fleet that it never saw, once with each server's profile and once with `generic` for all.
# usage: profiles.sh [ARGUS] (default: target/release/argus)
set -euo pipefail
argus=${1:-target/release/argus}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# One day, so that all that is forecast and scored lies within it. The seed is none that was trained on.
"$argus" generate --servers 100 --days 1 --seed 4711 --cascades-per-day 0 --start 2026-03-04 --output "$work/fleet.parquet"
for profile in own generic; do
    told=()
    [ "$profile" = own ] || told=(--profile "$profile")
    "$argus" backtest --input "$work/fleet.parquet" --every 30m --models-dir "$(dirname "$0")" --json "${told[@]}" > "$work/$profile.json"
done
python3 - "$work" <<'PY'
import json, sys
own, generic = (json.load(open(f"{sys.argv[1]}/{name}.json"))["scores"] for name in ("own", "generic"))
print(f"{'metric':20} {'wQL own':>9} {'generic':>9} {'ratio':>7}")
ratios = []
for metric in own:
    told, untold = (scores[metric]["8h"]["model"]["wql"] for scores in (own, generic))
    ratios.append(told / untold)
    print(f"{metric:20} {told:9.4f} {untold:9.4f} {ratios[-1]:7.3f}")
print(f"{'mean ratio':40} {sum(ratios) / len(ratios):7.3f}")
PY
