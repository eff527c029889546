"""Makes the fixture of the import test with the real pytorch-forecasting: a small trained model, and what it predicts.

    pip install pytorch-forecasting==1.8.0 torch==2.13.0 safetensors
    python3 make_import_fixture.py fixtures/imported

The servers' identifiers are encoded with a class for missing values, which makes the library look every scale up one
place off; the expected predictions are the network's own with each server's right scale (which is what the inputs were
scaled with), beside those of a description whose table is complete. Seeded; three targets, two transformations.
"""

import json
import pathlib
import sys
import warnings

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from pytorch_forecasting import QuantileLoss, TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data import GroupNormalizer, MultiNormalizer, NaNLabelEncoder
from pytorch_forecasting.metrics import MultiLoss

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "examples"))
from export_model import export  # noqa: E402

ENCODER, DECODER, ROWS, LAST_TRAINED = 24, 6, 150, 110
METRICS = ["cpu_user_pct", "cpu_iowait_pct", "mem_used_pct"]
QUANTILES = [0.1, 0.5, 0.9]
START = pd.Timestamp("2026-02-27T20:00:00Z")  # a Friday: weekend, month and day change within the rows


def rows():
    servers = []
    for i, profile in enumerate(["database", "web_api", "ml_compute"]):
        t = np.arange(ROWS)
        iowait = np.abs(np.random.randn(ROWS)) * (i + 1)
        iowait[np.random.rand(ROWS) < 0.25] = 0
        servers.append(pd.DataFrame(dict(
            server_name=f"srv-{i}", timestamp=START + pd.to_timedelta(t * 5, unit="min"), time_idx=t, profile=profile,
            status=np.random.choice(["healthy", "heavy_load", "idle"], ROWS),
            cpu_user_pct=np.clip([5, 60, 30][i] + 10 * np.sin(t / 20 + i) + np.random.randn(ROWS), 0, 100).round(2),
            cpu_iowait_pct=iowait.round(2),
            mem_used_pct=np.clip(50 + 8 * np.cos(t / 40 + i) + np.random.randn(ROWS), 0, 100).round(2),
        )))
    frame = pd.concat(servers, ignore_index=True)
    frame["hour"] = frame.timestamp.dt.hour.astype(float)
    frame["day_of_week"] = frame.timestamp.dt.dayofweek.astype(float)
    frame["month"] = frame.timestamp.dt.month.astype(float)
    frame["is_weekend"] = (frame.day_of_week >= 5).astype(float)
    return frame


def main(folder):
    torch.manual_seed(1)
    np.random.seed(1)
    frame = rows()
    normaliser = lambda transformation: GroupNormalizer(groups=["server_name"], transformation=transformation)
    training = TimeSeriesDataSet(
        frame[frame.time_idx <= LAST_TRAINED], time_idx="time_idx", target=METRICS, group_ids=["server_name"],
        min_encoder_length=ENCODER // 2, max_encoder_length=ENCODER, max_prediction_length=DECODER,
        static_categoricals=["profile"], time_varying_unknown_categoricals=["status"],
        time_varying_known_reals=["hour", "day_of_week", "month", "is_weekend"], time_varying_unknown_reals=METRICS,
        categorical_encoders={name: NaNLabelEncoder(add_nan=True) for name in ("profile", "status", "server_name")},
        target_normalizer=MultiNormalizer([normaliser("softplus"), normaliser("softplus"), normaliser(None)]),
        add_relative_time_idx=True, add_target_scales=True, add_encoder_length=True,
    )
    model = TemporalFusionTransformer.from_dataset(
        training, hidden_size=8, attention_head_size=2, hidden_continuous_size=4, dropout=0.1,
        output_size=[len(QUANTILES)] * 3, loss=MultiLoss([QuantileLoss(QUANTILES)] * 3), learning_rate=0.02,
    )
    trainer = pl.Trainer(max_steps=15, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(model, train_dataloaders=training.to_dataloader(train=True, batch_size=32, num_workers=0))
    model.eval()
    export(model, training, folder)

    description = json.loads((pathlib.Path(folder) / "config.json").read_text())
    codes, tables = description["categories"]["server_name"], description["target_normalisers"]
    scalers, reals = description["scalers"], model.hparams.x_reals
    windows = []
    for origin in (LAST_TRAINED, ROWS - DECODER - 1):
        part = frame[(frame.time_idx > origin - ENCODER) & (frame.time_idx <= origin + DECODER)]
        data = TimeSeriesDataSet.from_dataset(training, part, predict=True, stop_randomization=True)
        x, _ = next(iter(data.to_dataloader(train=False, batch_size=10, num_workers=0)))
        names = list(data.x_to_index(x).server_name)
        own = [torch.tensor([table["table"][str(codes[name])] for name in names]) for table in tables]
        assert any((used - right).abs().max() > 1 for used, right in zip(x["target_scale"], own)), "no defect to see"
        for metric, scale in zip(METRICS, own):
            for column, suffix in enumerate(("center", "scale")):
                name = f"{metric}_{suffix}"
                value = (scale[:, column] - scalers[name]["mean"]) / scalers[name]["scale"]
                for steps in ("encoder_cont", "decoder_cont"):
                    x[steps][..., reals.index(name)] = value[:, None]
        with torch.no_grad():
            predictions = model(x | {"target_scale": own})["prediction"]
        for row, name in enumerate(names):
            past = part[(part.server_name == name) & (part.time_idx <= origin)]
            windows.append(dict(
                entity=name, profile=past.profile.iloc[0],
                end_bin_ms=int(past.timestamp.iloc[-1].timestamp() * 1000), status=list(past.status),
                values={metric: list(past[metric]) for metric in METRICS},
                expected={metric: [[round(v, 5) for v in sorted(step)] for step in predictions[k][row].tolist()]
                          for k, metric in enumerate(METRICS)},
            ))
    (pathlib.Path(folder) / "windows.json").write_text(json.dumps(windows) + "\n")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(sys.argv[1])
