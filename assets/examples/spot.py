"""Keywords in a recording: a model that `sssm export` wrote, without sssm.

    python spot.py recording.wav [model.onnx]

Needs numpy, onnxruntime and soundfile.  A program for a microphone looks the same: feed
`hop_samples` at a time, and keep the states.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import soundfile

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before it is imported: it reports to its maker else
import onnxruntime

RECORDING, *OTHER = sys.argv[1:]
MODEL = OTHER[0] if OTHER else Path(__file__).parents[1] / "kws12-s4.onnx"
onnxruntime.set_default_logger_severity(3)
session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
written = session.get_modelmeta().custom_metadata_map
if "unit" not in written:
    sys.exit(f"{MODEL}: not written by sssm export")
facts = {key: json.loads(value) for key, value in written.items()}
outputs = [output.name for output in session.get_outputs()]
samples, rate = soundfile.read(RECORDING, dtype="float32", always_2d=True)
hop, labels, smoothed = facts["hop_samples"], facts["labels"], 0.0
if session.get_inputs()[0].shape[1] not in (hop, "samples"):
    sys.exit(f"{MODEL}: does not hear {hop} samples a call, as a model of --unit frame does")
if rate != facts["sample_rate_hz"]:
    wanted = f"the model hears {facts['sample_rate_hz']} Hz (sssm export has --sample-rate)"
    sys.exit(f"{RECORDING}: {rate} Hz; {wanted}")

shapes = {s["input"]: [1 if n == "batch" else n for n in s["shape"]] for s in facts["states"]}
state = {s["input"]: np.full(shapes[s["input"]], s["fill"], s["dtype"]) for s in facts["states"]}
detector, limits, quiet = facts["detector"], facts["thresholds"], 0
words, armed, above = list(limits), set(limits), dict.fromkeys(limits, 0)
columns = [labels.index(word) for word in words]
memory = detector["smoothing"]
# Amid talk a word is rarely a command: a phrase, a sentence, a conversation, three means each.
keep, talk = np.array([0.96, 0.99, 0.9975]), np.zeros((4, 3))
other = np.array(labels) == "_unknown_"
for end in range(hop, len(samples) + 1, hop):
    audio = samples[end - hop : end].mean(axis=1)[None]
    result = dict(zip(outputs, session.run(None, {"audio": audio, **state}), strict=True))
    state = {s["input"]: result[s["output"]] for s in facts["states"]}
    score = result["scores"][0, 0].astype(np.float64)
    talk[0] = score @ other
    talk[1:] = keep * talk[1:] + (1 - keep) * talk[:-1]
    prior = (1 - 0.99 * talk[3]).prod() ** detector["caution"]
    total = min(score[columns].sum(), 1)  # that a keyword is said at all
    found = prior * score[columns]
    found[found.argmax()] = prior * total  # counts for the likeliest
    smoothed = memory * smoothed + (1 - memory) * found / (prior * total + 1 - total)
    score_of = dict(zip(words, smoothed.tolist(), strict=True))
    sure = {word: score_of[word] / limits[word] for word in limits}
    armed |= {word for word in limits if sure[word] <= detector["release"]}
    above = {word: above[word] + 1 if sure[word] >= 1 else 0 for word in limits}
    ready = [word for word in limits if word in armed and above[word] >= detector["min_frames"]]
    if ready and end > quiet:
        best = max(ready, key=sure.get)
        print(f"{end / rate:.2f} s  {best}  {score_of[best]:.2f}")
        armed.discard(best)
        quiet = end + detector["refractory"] * hop
