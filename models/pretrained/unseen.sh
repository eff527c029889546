#!/usr/bin/env bash
# How well servers are forecast that training never saw: a model is made as the shipped one, without every third server of
# each trace (of smd's five, without two), and its forecasts of all servers are scored beside LightGBM's, which had learned
# from them.
# usage: models/pretrained/unseen.sh TRACES WORK [STEPS]
# TRACES also holds the lists of origins, score_forecasts.py with common.py, and reference.csv; python3 needs pandas and
# pyarrow. WORK keeps model and forecasts; an unfinished run in it goes on.
set -euo pipefail
here=$(dirname "$0")
traces=${1:?folder with the traces} work=${2:?folder to work in} steps=${3:-4000}
argus="$here/../../target/release/argus"

mkdir -p "$work/traces" "$work/models"
python3 - "$traces" "$work" <<'PY'
import json, sys
import pandas as pd
traces, work = sys.argv[1:]
unseen = {}
for name, every in (("jumpstarter", 3), ("bitbrains", 3), ("smd", 2)):
    rows = pd.read_parquet(f"{traces}/{name}.parquet")
    server = rows.server_name.astype(str)
    unseen[name] = sorted(server.unique())[1::every]
    rows[~server.isin(unseen[name])].to_parquet(f"{work}/traces/{name}.parquet", index=False)
    origins = pd.read_parquet(f"{traces}/{name}_valid_origins.parquet")
    seen = ~origins.server_name.astype(str).isin(unseen[name])
    origins[seen].to_parquet(f"{work}/traces/{name}_valid_origins.parquet", index=False)
json.dump(unseen, open(f"{work}/unseen.json", "w"))
PY
"$here/train.sh" "$work/traces" "$work/models" "$steps"
for name in jumpstarter bitbrains smd; do
    "$argus" forecast --models-dir "$work/models" --input "$traces/$name.parquet" \
        --origins "$traces/${name}_valid_origins.parquet" --output "$work/$name.parquet"
    python3 "$traces/score_forecasts.py" --dataset "$name" --forecasts "$work/$name.parquet" --per-server "$work/$name.csv" \
        > "$work/$name.txt" || { cat "$work/$name.txt" >&2; exit 1; }
done
python3 - "$traces" "$work" <<'PY'
import json, sys
import pandas as pd
traces, work = sys.argv[1:]
reference = pd.read_csv(f"{traces}/reference.csv").query("model == 'lightgbm'")
unseen = json.load(open(f"{work}/unseen.json"))
print(f"{'pinball loss relative to LightGBM':34} {'unseen':>7} {'seen':>7}")
for name, servers in unseen.items():
    ours = pd.read_csv(f"{work}/{name}.csv")
    both = ours.merge(reference[reference.dataset == name], on=["server_name", "metric"], suffixes=("", "_reference"))
    both["unseen"] = both.server_name.isin(servers)
    sums = both.groupby(["metric", "unseen"])[["ql", "ql_reference"]].sum()
    ratios = (sums.ql / sums.ql_reference).unstack()
    for metric, row in ratios.iterrows():
        print(f"{name + '/' + metric:34} {row[True]:7.3f} {row[False]:7.3f}")
    print(f"{name + ', mean':34} {ratios[True].mean():7.3f} {ratios[False].mean():7.3f}")
PY
