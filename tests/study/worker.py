"""In place of ``stillbit train`` and of what looks at runs: writes what these write, in a twentieth of a second.

What it does is said by the words of the cell: --boom fails, --slow takes a minute and saves when it is asked to stop,
--die ends by a signal. The accuracy is that of --lr.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def value(words: list[str], flag: str) -> str:
    return words[len(words) - words[::-1].index(flag)]  # the last one counts


def train(words: list[str]) -> None:
    run = Path(value(words, "--output")) / value(words, "--experiment")
    run.mkdir(parents=True, exist_ok=True)
    resumed = (run / "last.pt").exists()
    (run / "count").open("a").write("resumed\n" if resumed else "begun\n")
    (run / "last.pt").touch()
    (run / "environment.json").write_text('{"versions": {"torch": "2"}, "hardware": {"device": "cpu"}, "git": null}')
    if "--boom" in words:
        sys.exit("Traceback\nValueError: no\nstillbit: it went wrong (boom)")
    if "--die" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "--slow" in words and not resumed:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        (run / "sleeps").touch()
        time.sleep(60)
    top1 = float(value(words, "--lr")) + int(value(words, "--seed"))
    row = {"kind": "epoch", "epoch": 1, "step": 8, "top1": top1, "train_loss": 1.0, "eval_loss": 1.0}
    (run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    result = {"epoch": 1, "top1": top1 + 0.5, "epochs": 1, "weight_bytes": 1000, "seconds": 2.0}
    (run / "result.json").write_text(json.dumps(result))


def look(answers: str, looks: str) -> None:
    said = {}
    for one in json.loads(looks):
        what, run = one["what"], Path(one["words"][2] if one["words"][0] == "analyze" else one["words"][1])
        if what == "variation":
            said[what] = "nothing varies"
        elif one["output"] is None:
            (run / "analysis").mkdir(exist_ok=True)
            record = {"bitops": 2e9, "weights": [{"relative": 0.1}], "tracked": {"oscillating": 0.05}}
            (run / "analysis" / f"{what}.json").write_text(json.dumps({"record": record}))
            said[what] = ""
        else:
            Path(one["output"]).write_text(json.dumps({"top1": 12.5}))
            said[what] = ""
    Path(answers).write_text(json.dumps(said))


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(sys.argv[2:])
    else:
        look(*sys.argv[1:])
