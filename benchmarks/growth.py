"""What more data teaches: zero-shot accuracies against the number of demonstrations, with the same training.

    python -m benchmarks.growth --trial      # a minute or two: that all of it runs
    python -m benchmarks.growth              # an hour and a half on 2 cores; draws docs/growth.svg

VideoBERT's figure (Sun et al. 2019, table 3) on a corpus that can be recorded here: BabyAI's grid world (see
demo/grounded_corpus.py). One corpus, vocabulary and set of held-out videos; pretraining sees 1/16, 1/4 or all
of the other videos for as many steps. Writes growth.json beside what it was measured on.
"""

import json
import statistics
from dataclasses import replace
from pathlib import Path

from demo.ablations import zero_shot
from demo.grounded import TRIAL, WHOLE, ask, chosen, prepare, pretrain
from demo.grounded_table import KINDS
from demo.one_cluster import one_cluster
from demo.run import ROOT, say
from demo.seeds import shown, standard_error

PICTURE = ROOT / "docs" / "growth.svg"
SHARES = (1 / 16, 1 / 4, 1.0)
# 16,000 missions are 10 times those of `make grounded`, and 50^2 visual words 10 times its words. Four times
# its steps: each of 12,800 training missions is seen 5 times, a sixteenth of them 80 times.
SIZES = replace(WHOLE, num_missions=16_000, num_steps=960, branching=50)
FEW = replace(TRIAL, num_missions=400)  # a sixteenth of the 80 training videos are five
Points = dict[str, dict[int, list[float]]]  # kind -> demonstrations -> a figure a seed


def main() -> None:
    """Prepare once, train on each share with each seed, draw."""
    output, is_trial = chosen(str(__doc__), ROOT / "growth-output")
    sizes = FEW if is_trial else SIZES
    points: Points = {kind: {} for kind in KINDS.values()}
    with one_cluster():
        prepare(output, sizes)
        for share in SHARES:
            num_missions = round(sizes.num_missions * share)
            for seed in range(sizes.num_seeds):
                say(f"{num_missions} demonstrations, seed {seed}")
                model = output / f"{num_missions}-{seed}"
                pretrain(output, model, "--share-of-videos", share, num_steps=sizes.num_steps, seed=seed)
                ask(output, model)
                scores = zero_shot(model)["cross-modal"]
                for kind, name in KINDS.items():
                    points[name].setdefault(num_missions, []).append(scores[f"{kind} top-1"])
    (output / "growth.json").write_text(json.dumps(points, indent=2))
    for name, found in points.items():
        print(name, ", ".join(f"{count}: {shown(values)}" for count, values in found.items()))
    chance = {name: zero_shot(model)["frequency"][f"{kind} top-1"] for kind, name in KINDS.items()}
    draw(points, chance, output / PICTURE.name if is_trial else PICTURE)


def draw(points: Points, chance: dict[str, float], picture: Path) -> None:
    """A curve a kind with standard errors; dashed what naming the most frequent word gives."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "vbert"  # the same figures make the same file
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4))
    for number, (name, found) in enumerate(points.items()):
        means = [statistics.mean(values) for values in found.values()]
        errors = [standard_error(values) for values in found.values()]
        axis.errorbar(list(found), means, yerr=errors, fmt="o-", color=f"C{number}", label=name)
        axis.axhline(chance[name], linestyle="--", color=f"C{number}", label=f"{name}, most frequent word")
    axis.set_xscale("log")
    axis.set_xticks(list(points["object"]), [f"{count:,}" for count in points["object"]])
    axis.set_xlabel("demonstrations")
    axis.set_ylabel("zero-shot top-1")
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
