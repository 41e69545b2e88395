#!/usr/bin/env python3
"""Writes comparison.json: the record of a comparison that never took place, for the tests of reports. Its numbers are made up.

tests/report/make_comparison.py > tests/report/comparison.json
"""
import json
import math
import random

CHANCE = random.Random(7)
IMAGES, TEST_IMAGES, EPOCHS, SEEDS = 4000, 1000, 6, (1, 2)
ENGINES = [("eigen", 1, 64, 4200.0), ("openmp", 1, 64, 7900.0), ("openmp", 2, 64, 14800.0), ("openmp", 2, 256, 17300.0), ("onednn", 2, 64, 14850.0)]
NO_ENERGY = "/sys/class/powercap/intel-rapl:0/energy_uj cannot be read; run as root or make it readable"


def r(value, digits=6):
    return float(f"{value:.{digits}g}")


def spread(median, unit, share=0.01, count=24):
    return {"median": r(median), "q1": r(median * (1 - share)), "q3": r(median * (1 + share)), "low": r(median * (1 - share / 2)),
            "high": r(median * (1 + share / 2)), "count": count, "unit": unit, "reason": None}


def unknown_spread(unit, reason):
    return {"median": None, "q1": None, "q3": None, "low": None, "high": None, "count": 0, "unit": unit, "reason": reason}


def score(mean, deviation):
    return {"mean": r(mean), "std": r(deviation), "count": len(SEEDS), "unit": "share", "reason": None}


def run_of(seed, speed, threads, batch):
    epochs = []
    for epoch in range(1, EPOCHS + 1):
        wobble = 0.01 * math.sin(7 * seed + epoch + batch)
        epochs.append({"epoch": epoch, "seconds": r(IMAGES / speed * CHANCE.uniform(0.98, 1.03), 4),
                       "train_loss": r(1.9 * math.exp(-0.55 * epoch) + 0.05 + wobble, 5), "train_accuracy": r(1 - 0.7 * math.exp(-0.6 * epoch) - 0.01, 5),
                       "valid_loss": r(1.8 * math.exp(-0.5 * epoch) + 0.09 + wobble, 5),
                       "valid_accuracy": r(1 - 0.75 * math.exp(-0.55 * epoch) - 0.02 + wobble / 4, 5)})
        epochs[-1]["t"] = r(sum(earlier["seconds"] for earlier in epochs))
    slices = [{"round": i, "images": 10 * batch, "seconds": r(10 * batch / speed * CHANCE.uniform(0.97, 1.05), 4)} for i in range(1, 13)]
    seconds = sum(epoch["seconds"] for epoch in epochs)
    samples = [{"t": r(seconds * i / 40, 4), "cpu": r(min(1, threads / 2 * CHANCE.uniform(0.9, 1)), 3), "machine_cpu": r(min(1, threads / 2 + 0.03), 3), "gpu": None,
                "host_bytes": int(9e7 + 4e5 * batch + 1e6 * min(i, 8)), "device_bytes": None,
                "cpu_watts": r(18 + 14 * threads * CHANCE.uniform(0.95, 1.05), 4), "gpu_watts": None} for i in range(41)]
    confusion = [[92 + (i + seed) % 5 if i == j else (1 if abs(i - j) == 1 or (i, j) == (4, 9) else 0) for j in range(10)] for i in range(10)]
    return {"seed": seed, "rounds": len(slices), "seconds": r(seconds), "step_ms": [r(100 * part["seconds"]) for part in slices], "slices": slices,
            "epochs": epochs, "confusion": confusion, "samples": samples}


def row_of(backend, threads, batch, speed, first):
    joules = (18 + 14 * threads) / speed
    against = {"against": first[0], "ratio": r(speed / first[1], 4), "low": r(speed / first[1] * 0.985, 4), "high": r(speed / first[1] * 1.016, 4),
               "verdict": "faster", "reason": None}
    if speed == first[1]:
        against.update(ratio=1.0, low=None, high=None, verdict=None, reason="the others are compared with it")
    return {"id": f"{backend}-t{threads}-fp32-b{batch}", "backend": backend, "device": "Example CPU", "threads": threads, "precision": "fp32", "batch": batch,
            "status": "ran", "reason": None, "images_per_second": spread(speed, "images/s"), "ms_per_step": spread(1000 * batch / speed, "ms"),
            "s_per_epoch": spread(IMAGES / speed, "s", 0.02, 12), "time_to_target_s": spread(4 * IMAGES / speed, "s", 0.03, 2),
            "train_accuracy": score(0.9709, 0.0012), "valid_accuracy": score(0.9524 + batch / 1e6, 0.0021), "test_accuracy": score(0.951 + batch / 1e6, 0.0019),
            "peak_host_bytes": int(9.8e7 + 4e5 * batch), "peak_device_bytes": None, "predicted_bytes": int(4e5 * batch),
            "energy": {"gross_joules_per_image": r(joules), "net_joules_per_image": r(joules * 0.6), "gross_joules": r(joules * IMAGES * EPOCHS * 2),
                       "net_joules": r(joules * IMAGES * EPOCHS * 1.2), "cpu_joules": r(joules * IMAGES * EPOCHS * 2), "dram_joules": None, "gpu_joules": None,
                       "method": "RAPL, package counter", "samples": 41, "coverage": 0.99, "reason": None},
            "speedup": against,
            "roof": {"fraction": r(speed / 60000, 3), "flops_per_s": r(speed * 2.5e6), "roof_flops_per_s": r(60000 * 2.5e6), "bound_by": "arithmetic",
                     "source": "measured in the same process", "reason": None},
            "runs": [run_of(seed, speed, threads, batch) for seed in SEEDS]}


def missing_row(row, status, reason):
    unknown = {"median": None, "q1": None, "q3": None, "low": None, "high": None, "count": 0, "unit": None, "reason": reason}
    no_score = {"mean": None, "std": None, "count": 0, "unit": "share", "reason": reason}
    return {**row, "status": status, "reason": reason, "images_per_second": unknown, "ms_per_step": unknown, "s_per_epoch": unknown, "time_to_target_s": unknown,
            "train_accuracy": no_score, "valid_accuracy": no_score, "test_accuracy": no_score, "peak_host_bytes": None, "energy": None, "speedup": None,
            "roof": None, "runs": []}


def comparison():
    first = ("eigen-t1-fp32-b64", ENGINES[0][3])
    rows = [row_of(*engine, first) for engine in ENGINES]
    refused = missing_row(rows[3], "refused", "needs 19.5 GiB, but 3.1 GiB are free; the largest batch that fits is 512")
    rows.append({**refused, "id": "openmp-t2-fp32-b4096", "batch": 4096, "predicted_bytes": 20937965568})
    absent = missing_row(rows[0], "absent", "no NVIDIA driver was found; `fovea doctor` says how to get one")
    rows.append({**absent, "id": "cuda-fp32", "backend": "cuda", "device": None, "threads": None, "precision": None, "batch": None,
                 "predicted_bytes": None})
    return {"schema": "fovea.comparison/1", "title": "lenet5 on digits: every backend of an example machine",
            "command": ["fovea", "compare", "--data", "digits", "--model", "lenet5", "--threads", "1,2", "--epochs", str(EPOCHS), "--out", "runs/my comparison"],
            "date": "2026-01-31T12:00:00Z", "version": "0.1.0", "commit": "0123abc",
            "environment": {"cpu": "Example CPU", "cores": 2, "memory_bytes": 8589934592, "os": "Debian GNU/Linux 12", "compiler": "GNU 12.2.0", "gpu": None,
                            "libraries": {"Eigen": "3.4.0", "oneDNN": "3.5"}},
            "question": {"model": "lenet5", "parameters": 61706, "data": "digits (synthetic, seed 1)", "train_images": IMAGES, "valid_images": 500,
                         "test_images": TEST_IMAGES, "image": "28 x 28 x 1", "classes": 10, "optimizer": "adam", "learning_rate": 0.001, "schedule": "constant", "mode": "training", "valid": "the first 500 test images",
                         "batches": [64, 256, 4096], "threads": [1, 2], "precisions": ["fp32"], "seeds": list(SEEDS), "epochs": EPOCHS, "steps": None,
                         "target_accuracy": 0.9},
            "notes": ["Made-up numbers: this comparison never took place.", "digits stand in for MNIST, which is not on this machine."],
            "idle": {"cpu_watts": 17.6, "gpu_watts": None, "seconds": 5, "reason": "there is no GPU"}, "rows": rows,
            "statistics": "Intervals: 95 %, by bootstrap over the rounds in which the rows trained side by side", "interrupted": False}


if __name__ == "__main__":
    print(json.dumps(comparison()))
