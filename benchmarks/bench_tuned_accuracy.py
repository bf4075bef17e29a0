"""Whether a faster way to compute costs accuracy: paired over seeds, with its interval.

    python benchmarks/bench_tuned_accuracy.py --train cifar10-train.npz --test cifar10-test.npz \
        --work accuracy --seeds 3 --precision bfloat16 --channels-last

Each seed trains twice, with the former defaults (float32, contiguous) and with the settings given,
or with the trainer's own choice where none is given; a ridge probe of the backbone is fitted on the
training images and evaluated on the test images. Finished runs in --work are not trained again.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import jessl
from jessl.core.processor import instruction_sets
from jessl.core.statistics import student_t_half_width
from jessl.records import versions


def main() -> None:
    args = _arguments()
    plain = {"precision": "float32", "channels_last": False, "compile": False, "tune": False}
    fixed = args.precision is not None or args.channels_last
    other: dict[str, Any] = {"compile": False}
    if fixed:
        other |= {"precision": args.precision or "float32", "channels_last": args.channels_last}
        other |= {"tune": False}
    differences = []
    print(f"{versions()}; instruction sets: {instruction_sets()}")
    print("| seed | default | other | difference | how the other computed |\n|---|---|---|---|---|")
    for seed in range(args.seeds):
        default, _ = _accuracy(args, seed, "default", plain)
        accuracy, how = _accuracy(args, seed, "fixed" if fixed else "tuned", other)
        differences.append(accuracy - default)
        print(f"| {seed} | {default:.4f} | {accuracy:.4f} | {differences[-1]:+.4f} | {how} |")
    mean = statistics.mean(differences)
    if len(differences) > 1:
        se = statistics.stdev(differences) / len(differences) ** 0.5
        half = student_t_half_width(se, len(differences) - 1)
        print(f"\nmean difference {mean:+.4f} ± {half:.4f} (95 %, n {len(differences)} seeds)")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True, help="SRC with labels")
    parser.add_argument("--test", required=True, help="SRC with labels")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--objective", default="simclr")
    parser.add_argument("--encoder", default="smallconv")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", help="float32 or bfloat16; left out: the trainer's choice")
    parser.add_argument("--channels-last", action="store_true")
    return parser.parse_args()


def _accuracy(
    args: argparse.Namespace, seed: int, name: str, settings: dict[str, Any]
) -> tuple[float, str]:
    """Accuracy of the probe of a run, trained where it is not finished, and how it computed."""
    out = args.work / f"{name}-{seed}"
    config = jessl.Pretrain(
        data=args.train, out=str(out), objective=args.objective, encoder=args.encoder,
        epochs=args.epochs, batch_size=args.batch_size, seed=seed, holdout=0, evaluate_epochs=0,
        online_probes=False, resume=out.exists(), **settings,
    )  # fmt: skip
    run = jessl.pretrain(config, quiet=True)
    train, test = (jessl.embed(run, source) for source in (args.train, args.test))
    resolved = run.resolved_config()
    layout = "channels-last" if resolved.channels_last else "contiguous"
    accuracy = jessl.probe(train, test, kind="ridge").accuracy
    return accuracy, f"{resolved.compute_dtype}, {layout}"


if __name__ == "__main__":
    main()
