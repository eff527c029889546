"""Makes parity fixtures of many shapes with the real pytorch-forecasting.

    pip install pytorch-forecasting==1.8.0 torch==2.13.0 safetensors
    python3 make_fixtures.py OUT_DIR [CASE ...]

Each case is a directory in the layout that `argus model parity` reads: config.json, model.safetensors,
inputs.safetensors, outputs.safetensors. Without case names all are made. The small ones named in `COMMITTED` are kept
beside this script in `fixtures/`; their values come from seeded random numbers.
"""

import json
import pathlib
import sys
import warnings

import torch
from pytorch_forecasting import TemporalFusionTransformer
from pytorch_forecasting.data.encoders import MultiNormalizer, TorchNormalizer
from pytorch_forecasting.metrics import MultiLoss, QuantileLoss
from safetensors.torch import save_file

QUANTILES = {3: [0.1, 0.5, 0.9], 5: [0.05, 0.25, 0.5, 0.75, 0.95], 7: [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98]}
COMMITTED = ["several_targets", "one_static_real", "shared_networks"]


def case(**changes):
    base = dict(
        hidden=8, heads=2, continuous=4, continuous_sizes={}, layers=1, dropout=0.1, encoder=12, decoder=5,
        share=False, causal=True, mask_bias=-1e9, windows=4, full=False, tied="once", groups={}, advice=None,
        embeddings={}, paddings=[], static_cats=[], static_reals=[], known_cats=[], observed_cats=[],
        known=["hour", "relative_time_idx"], observed=["cpu_pct", "mem_pct"], unused_reals=[], unused_cats=[],
        targets=[("cpu_pct", 3, None)],
    )
    unknown = set(changes) - set(base)
    assert not unknown, unknown
    return base | changes


CASES = {
    # Several targets of different sizes and transformations, no static variable, two LSTM layers, odd sizes, a known
    # category.
    "several_targets": case(
        hidden=11, heads=3, continuous=5, layers=2, embeddings={"holiday": (4, 3), "status": (6, 4)},
        paddings=["status"], known_cats=["holiday"], observed_cats=["status"], observed=["cpu_pct", "mem_pct", "net_mb"],
        targets=[("cpu_pct", 3, "softplus"), ("mem_pct", 7, None), ("net_mb", 5, "relu")], encoder=14, decoder=6,
    ),
    # One static real, one decoder variable, seven quantiles, no resampling anywhere (continuous == hidden).
    "one_static_real": case(
        hidden=8, continuous=8, static_reals=["encoder_length"], known=["relative_time_idx"],
        targets=[("cpu_pct", 7, "softplus")],
    ),
    # Shared single-variable networks (for categories too), one static category, all steps attend to all.
    "shared_networks": case(
        hidden=9, heads=2, share=True, causal=False, static_cats=["profile"], known_cats=["holiday"],
        observed_cats=["status"], embeddings={"holiday": (3, 2), "profile": (7, 5), "status": (6, 4)},
        paddings=["profile"], tied="all",
    ),
    "no_known": case(known=[], static_reals=["encoder_length", "cpu_pct_scale"]),
    "one_observed": case(known=[], observed=["cpu_pct"]),
    "mixed_widths": case(
        hidden=10, heads=4, continuous=6, continuous_sizes={"mem_pct": 3, "hour": 10, "cpu_pct": 13},
        static_reals=["encoder_length", "a", "b"], static_cats=["profile"], embeddings={"profile": (5, 30)},
        unused_reals=["spare"], unused_cats=["other"], layers=3, tied="all",
    ),
    "width_one": case(continuous=1, static_reals=["encoder_length", "a", "b"], observed=["cpu_pct", "mem_pct", "net_mb"]),
    "category_group": case(
        embeddings={"tags": (6, 4)}, groups={"tags": ["tag_a", "tag_b"]}, observed_cats=["tags"],
        unused_cats=["tag_a", "tag_b"], static_reals=["encoder_length", "a"],
    ),
    "one_head": case(heads=1, hidden=6, static_cats=["profile"], embeddings={"profile": (3, 2)}, full=True),
    "wide_embedding": case(
        hidden=6, embeddings={"status": (40, 13), "profile": (9, 6)}, static_cats=["profile"], observed_cats=["status"],
        static_reals=["encoder_length"], paddings=["status", "profile"],
    ),
    "production": case(
        hidden=32, heads=4, continuous=16, encoder=288, decoder=96, windows=20, dropout=0.1,
        static_cats=["profile"], static_reals=["encoder_length"] + [f"m{i}_{p}" for i in range(14) for p in ("center", "scale")],
        observed_cats=["status"], embeddings={"status": (9, 5), "profile": (8, 5)}, paddings=["status", "profile"],
        known=["hour", "day_of_week", "month", "is_weekend", "relative_time_idx"], observed=[f"m{i}" for i in range(14)],
        targets=[(f"m{i}", 7, "softplus") for i in range(14)],
    ),
}


def build(c):
    targets = c["targets"]
    losses = [QuantileLoss(quantiles=QUANTILES[size]) for _, size, _ in targets]
    norms = [TorchNormalizer(method="identity", center=True, transformation=t) for _, _, t in targets]
    several = len(targets) > 1
    cats = list(dict.fromkeys(c["static_cats"] + c["known_cats"] + c["observed_cats"] + c["unused_cats"]))
    cats = [name for name in cats if name not in c["groups"]]
    reals = list(dict.fromkeys(c["static_reals"] + c["known"] + c["observed"] + c["unused_reals"]))
    model = TemporalFusionTransformer(
        hidden_size=c["hidden"], lstm_layers=c["layers"], dropout=c["dropout"], attention_head_size=c["heads"],
        output_size=[t[1] for t in targets] if several else targets[0][1],
        loss=MultiLoss(losses) if several else losses[0],
        output_transformer=MultiNormalizer(norms) if several else norms[0],
        max_encoder_length=c["encoder"], static_categoricals=c["static_cats"], static_reals=c["static_reals"],
        time_varying_categoricals_encoder=c["known_cats"] + c["observed_cats"],
        time_varying_categoricals_decoder=c["known_cats"],
        time_varying_reals_encoder=c["known"] + c["observed"], time_varying_reals_decoder=c["known"],
        x_reals=reals, x_categoricals=cats, hidden_continuous_size=c["continuous"],
        hidden_continuous_sizes=c["continuous_sizes"], embedding_sizes=dict(c["embeddings"]),
        embedding_paddings=c["paddings"], embedding_labels={}, categorical_groups=c["groups"],
        share_single_variable_networks=c["share"], causal_attention=c["causal"], mask_bias=c["mask_bias"],
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model.eval(), cats, reals


def inputs_of(c, cats, reals):
    n, e, d = c["windows"], c["encoder"], c["decoder"]
    sizes = dict(c["embeddings"])
    for group, members in c["groups"].items():
        sizes.update({member: sizes[group] for member in members})
    x = {}
    for part, steps in (("encoder", e), ("decoder", d)):
        codes = [torch.randint(0, sizes.get(name, (2, 1))[0], (n, steps)) for name in cats]
        x[f"{part}_cat"] = torch.stack(codes, -1) if codes else torch.zeros(n, steps, 0, dtype=torch.long)
        x[f"{part}_cont"] = torch.randn(n, steps, len(reals))
        lengths = torch.full((n,), steps)
        if not c["full"]:
            lengths[1:] = torch.randint(max(1, steps // 3), steps + 1, (n - 1,))
        x[f"{part}_lengths"] = lengths
        past = torch.arange(steps)[None] >= lengths[:, None]
        x[f"{part}_cat"][past] = 0
        x[f"{part}_cont"][past] = 0
    return x


def make(name, out_dir):
    c = CASES[name]
    torch.manual_seed(sum(name.encode()))
    model, cats, reals = build(c)
    x = inputs_of(c, cats, reals)
    targets = c["targets"]
    several = len(targets) > 1
    scales = [torch.rand(c["windows"], 2) + torch.tensor([0.5, 0.25]) for _ in targets]
    raw = {}
    model.output_layer.register_forward_hook(lambda _, __, y: raw.update({"0": y})) if not several else [
        layer.register_forward_hook(lambda _, __, y, i=i: raw.update({str(i): y}))
        for i, layer in enumerate(model.output_layer)
    ]
    with torch.no_grad():
        out = model(x | {"target_scale": scales if several else scales[0]})
    suffix = (lambda i: f".{i}") if several else (lambda i: "")
    predictions = out["prediction"] if several else [out["prediction"]]
    outputs = {f"prediction{suffix(i)}": p for i, p in enumerate(predictions)}
    outputs |= {f"prediction_normalised{suffix(i)}": raw[str(i)] for i in range(len(targets))}
    names = dict(static_variables="static_weights", encoder_variables="encoder_weights",
                 decoder_variables="decoder_weights", encoder_attention="encoder_attention",
                 decoder_attention="decoder_attention")
    outputs |= {ours: out[theirs] for theirs, ours in names.items()}
    if name == "production":
        outputs["encoder_attention"] = outputs["encoder_attention"][:3, ::12]
        outputs["decoder_attention"] = outputs["decoder_attention"][:3, ::12]
    inputs = x | {f"target_scale{suffix(i)}": s for i, s in enumerate(scales)}

    state, tied, seen = {}, {}, {}
    for key, value in model.state_dict().items():
        first = seen.setdefault(value.data_ptr() if value.numel() else key, key)
        if first != key:
            tied[key] = first
        if first == key or c["tied"] == "all":
            state[key] = value
    hyper = dict(
        hidden_size=c["hidden"], attention_head_size=c["heads"], dropout=c["dropout"],
        hidden_continuous_size=c["continuous"], lstm_layers=c["layers"],
        output_size=[t[1] for t in targets] if several else targets[0][1], max_encoder_length=c["encoder"],
        max_prediction_length=c["decoder"], min_encoder_length=1, causal_attention=c["causal"],
        share_single_variable_networks=c["share"], mask_bias=c["mask_bias"],
        quantiles=[QUANTILES[t[1]] for t in targets] if several else QUANTILES[targets[0][1]],
        targets=[t[0] for t in targets],
    )
    if c["continuous_sizes"]:
        hyper["hidden_continuous_sizes"] = c["continuous_sizes"]
    if c["groups"]:
        hyper["categorical_groups"] = c["groups"]
    normalisers = [dict(kind="TorchNormalizer", transformation=t) for _, _, t in targets]
    config = dict(
        set=name,
        peer=dict(pytorch_forecasting="1.8.0", torch=torch.__version__),
        hyper_parameters=hyper,
        variables=dict(
            static_categoricals=c["static_cats"], static_reals=c["static_reals"],
            time_varying_categoricals_encoder=c["known_cats"] + c["observed_cats"],
            time_varying_categoricals_decoder=c["known_cats"],
            time_varying_reals_encoder=c["known"] + c["observed"], time_varying_reals_decoder=c["known"],
            x_reals=reals, x_categoricals=cats,
        ),
        embedding_sizes={k: list(v) for k, v in c["embeddings"].items()},
        embedding_paddings=c["paddings"],
        target_normalisers=normalisers if several else normalisers[0],
        tied_keys=tied,
    )
    directory = pathlib.Path(out_dir) / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    for file, tensors in (("model", state), ("inputs", inputs), ("outputs", outputs)):
        save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, directory / f"{file}.safetensors")
    size = sum(f.stat().st_size for f in directory.iterdir())
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, {size // 1024} KiB")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for wanted in sys.argv[2:] or CASES:
        make(wanted, sys.argv[1])
