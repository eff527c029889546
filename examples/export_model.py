"""Exports a Temporal Fusion Transformer of pytorch-forecasting for `argus model import`.

    pip install pytorch-forecasting safetensors

    from export_model import export
    export(model, training, "exported")      # a trained TemporalFusionTransformer, its TimeSeriesDataSet, a folder

or, from a checkpoint and a pickled data set of your own (only you load them; the receiver never unpickles anything):

    python3 export_model.py model.ckpt training.pkl exported

writes `exported/config.json` and `exported/model.safetensors`. Then:

    argus model import --config exported/config.json --weights exported/model.safetensors --output models/mine

The description holds what the network was fed with: the order of its variables, the codes of its categories, the mean
and scale of each StandardScaler, and each GroupNormalizer's table, keyed by the code of the group.
"""

import json
import pathlib
import sys

import pytorch_forecasting
import torch
from pytorch_forecasting.data import EncoderNormalizer, GroupNormalizer, MultiNormalizer
from safetensors.torch import save_file


def export(model, training, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {}
    addresses = set()
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        # A shared layer is listed once for each of its names; safetensors stores a tensor once.
        address = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and address in addresses:
            continue
        addresses.add(address)
        if name.startswith(("loss.", "logging_metrics.", "output_transformer.")):
            continue
        state[name] = tensor
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(describe(model, training), indent=1) + "\n")


def describe(model, training):
    h = model.hparams
    targets = training.target_names
    losses = getattr(model.loss, "metrics", [model.loss])
    fitted = training.get_parameters()  # with the encoders and scalers as they were fitted
    roles = ("static_categoricals", "static_reals", "time_varying_categoricals_encoder",
             "time_varying_categoricals_decoder", "time_varying_reals_encoder", "time_varying_reals_decoder",
             "x_reals", "x_categoricals")
    normalisers = [normaliser(one) for one in
                   (training.target_normalizer.normalizers if isinstance(training.target_normalizer, MultiNormalizer)
                    else [training.target_normalizer])]
    return {
        "peer": {"pytorch_forecasting": pytorch_forecasting.__version__, "torch": torch.__version__},
        "hyper_parameters": {
            "hidden_size": h.hidden_size, "attention_head_size": h.attention_head_size, "dropout": h.dropout,
            "hidden_continuous_size": h.hidden_continuous_size,
            "hidden_continuous_sizes": dict(h.hidden_continuous_sizes) or None,
            "lstm_layers": h.lstm_layers, "output_size": h.output_size,
            "max_encoder_length": training.max_encoder_length,
            "max_prediction_length": training.max_prediction_length,
            "min_encoder_length": training.min_encoder_length,
            "causal_attention": h.causal_attention, "mask_bias": h.mask_bias,
            "share_single_variable_networks": h.share_single_variable_networks,
            "categorical_groups": dict(h.categorical_groups) or None,
            "quantiles": [list(loss.quantiles) for loss in losses] if len(losses) > 1 else list(losses[0].quantiles),
            "targets": list(targets),
        },
        "variables": {role: list(h[role]) for role in roles},
        "embedding_sizes": {name: list(size) for name, size in h.embedding_sizes.items()},
        "embedding_paddings": list(h.embedding_paddings),
        "categories": {name: {str(label): int(code) for label, code in encoder.classes_.items()}
                       for name, encoder in fitted["categorical_encoders"].items() if hasattr(encoder, "classes_")},
        "scalers": {name: {"mean": float(scaler.mean_[0]), "scale": float(scaler.scale_[0])}
                    for name, scaler in fitted["scalers"].items() if hasattr(scaler, "mean_")},
        "target_normalisers": normalisers if len(normalisers) > 1 else normalisers[0],
    }


def normaliser(one):
    if isinstance(one, EncoderNormalizer) or not isinstance(one, GroupNormalizer):
        raise SystemExit(f"{type(one).__name__} has no table of groups; train with a GroupNormalizer")
    if len(one.groups) != 1:
        raise SystemExit("one group column is needed, the one that names the server")
    if not isinstance(one.transformation, (str, type(None))):
        raise SystemExit("only the library's own transformations can be exported")
    table = one.norm_[one.groups[0]] if isinstance(one.norm_, dict) else one.norm_
    missing = one.missing_[one.groups[0]] if "center" not in one.missing_ else one.missing_
    return {
        "kind": "GroupNormalizer", "groups": list(one.groups), "method": one.method, "center": bool(one.center),
        "transformation": one.transformation,
        "table": {str(code): [float(row["center"]), float(row["scale"])] for code, row in table.iterrows()},
        "missing": [float(missing["center"]), float(missing["scale"])],
    }


if __name__ == "__main__":
    checkpoint, data_set, output = sys.argv[1:]
    tft = pytorch_forecasting.TemporalFusionTransformer.load_from_checkpoint(checkpoint, map_location="cpu")
    export(tft, torch.load(data_set, weights_only=False), output)
