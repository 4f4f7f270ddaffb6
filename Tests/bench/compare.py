"""`loralab bench` and PyTorch in turn, A B A B, on the same processors: a table of medians, spreads, ratios and peak memory, and a chart.

    python Tests/bench/compare.py --pairs 3 --out out/bench [--rows unet-forward-512 clip …] [--eager]

PyTorch runs with the setting that was its best for the job; --eager leaves its compiler out. Pairs in which other programs kept more
than a quarter of a core busy are thrown away and made again, as often as --patience says. A second table tells where our own time goes by operation.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
PROGRAM = HERE.parents[1] / ".build/release/loralab"
COMPILED = ["--compile", "--freeze", "--channels-last"]
# Row: our job with options, the peer's further options, the ratio of times that must be met, the peak memory (GB) that must be met.
ROWS = {
    "unet-forward-512": (["unet-forward"], COMPILED, 0.72, 2.4),
    "train-step-512": (["train-step"], [], 0.65, 3.3),
    "train-step-512-recomputing": (["train-step", "--checkpoint"], [], 0.70, 2.5),
    "unet-forward-256": (["unet-forward", "--size", "256"], [], 0.70, 2.4),
    "train-step-256": (["train-step", "--size", "256"], [], 0.70, 2.4),
    "vae-decode-512": (["vae-decode"], ["--channels-last"], 0.50, 1.8),
    "vae-encode-512": (["vae-encode"], ["--channels-last"], 0.50, 1.8),
    "clip": (["clip"], [], 0.80, 0.6),
    "blip": (["blip"], [], 0.65, 0.8),
    "tiny-train": (["tiny-train"], ["--compile", "--channels-last"], 0.50, 0.3),
}
SHORT = {"clip", "tiny-train"}  # repeated five times as often
OPERATIONS = ["unet-forward", "train-step", "vae-decode"]
FOREIGN_LOAD = 0.25
# A virtual machine hands freed memory back to its host for seconds after a process has ended, at the cost of the one that runs next.
SECONDS_BEFORE_NEXT, SECONDS_PER_GB = 5, 2.5


def run(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    report = json.loads(done.stdout.splitlines()[-1])
    time.sleep(SECONDS_BEFORE_NEXT + SECONDS_PER_GB * report["peak_rss_mb"] / 1024)
    return report


def pairs_of(row, o):
    """Reports (ours, theirs) of quiet pairs."""
    job, further, _, _ = ROWS[row]
    if o.eager:
        further = [f for f in further if f not in ("--compile", "--freeze")]
    common = ["--reps", o.reps * (5 if row in SHORT else 1), "--threads", o.threads]
    pairs, left = [], o.pairs + o.patience
    while len(pairs) < o.pairs and left:
        left -= 1
        ours = run([PROGRAM, "bench", *job, *common, "--json"])
        theirs = run([sys.executable, HERE / "peer.py", *job, *further, *common])
        if max(ours["other_cores_busy"], theirs["other_cores_busy"]) < FOREIGN_LOAD:
            pairs.append((ours, theirs))
        print(f"  {row}: {ours['median_ms']:.0f} / {theirs['median_ms']:.0f} ms = {ours['median_ms'] / theirs['median_ms']:.2f}"
              + ("" if pairs and pairs[-1][0] is ours else " (thrown away: other programs were at work)"), file=sys.stderr, flush=True)
    return pairs


def summary(row, pairs):
    _, _, bar, memory = ROWS[row]
    ratios = sorted(a["median_ms"] / b["median_ms"] for a, b in pairs)
    return {
        "row": row, "pairs": len(pairs), "ours_ms": statistics.median(a["median_ms"] for a, _ in pairs), "theirs_ms": statistics.median(b["median_ms"] for _, b in pairs),
        "ratio": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1], "bar": bar,
        "ours_gb": max(a["peak_rss_mb"] for a, _ in pairs) / 1024, "theirs_gb": max(b["peak_rss_mb"] for _, b in pairs) / 1024, "bar_gb": memory,
    }


def table(rows):
    lines = ["| job | LoRALab s | PyTorch s | ratio (lowest to highest) | must | peak GB | PyTorch's | must |", "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(f"| {r['row']} | {r['ours_ms'] / 1000:.2f} | {r['theirs_ms'] / 1000:.2f} | {r['ratio']:.2f} ({r['lowest']:.2f} to {r['highest']:.2f}) | {r['bar']} "
                     f"| {r['ours_gb']:.2f} | {r['theirs_gb']:.2f} | {r['bar_gb']} |")
    return "\n".join(lines)


def chart(rows, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots(figsize=(8, 0.5 * len(rows) + 1.2))
    names, ratios = [r["row"] for r in rows][::-1], [r["ratio"] for r in rows][::-1]
    errors = [[r["ratio"] - r["lowest"] for r in rows][::-1], [r["highest"] - r["ratio"] for r in rows][::-1]]
    axis.barh(names, ratios, xerr=errors, color="#2f6f9f", ecolor="#888888", height=0.6)
    axis.plot([r["bar"] for r in rows][::-1], names, "|", color="#c0392b", markersize=16, label="must")
    axis.axvline(1, color="#444444", linewidth=1)
    axis.set_xlabel("time relative to PyTorch's best setting (1 is as fast)")
    axis.set_xlim(0, max(1.05, *(r["highest"] * 1.05 for r in rows)))
    axis.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def operations(o):
    """Our own time by operation, as the program prints it."""
    texts = []
    for job in OPERATIONS:
        done = subprocess.run([str(PROGRAM), "bench", job, "--operations", "--threads", str(o.threads)], capture_output=True, text=True, check=True)
        texts.append(done.stdout)
    return "\n".join(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--patience", type=int, default=3, help="further pairs for those that are thrown away")
    parser.add_argument("--reps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eager", action="store_true", help="leave PyTorch's compiler out")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/bench"))
    o = parser.parse_args()
    o.out.mkdir(parents=True, exist_ok=True)
    rows = [summary(row, pairs) for row in o.rows if (pairs := pairs_of(row, o))]
    if not rows:
        sys.exit("No quiet pair: other programs were at work all the time.")
    (o.out / "bench.json").write_text(json.dumps(rows, indent=1) + "\n")
    chart(rows, o.out / "bench.png")
    told = table(rows) + "\n\n" + operations(o)
    (o.out / "bench.md").write_text(told)
    print(told)


if __name__ == "__main__":
    main()
