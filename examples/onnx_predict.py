"""What a picture shows, by a .onnx file of stillbit's: python examples/onnx_predict.py model.onnx picture.jpg ..."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def pixels(path: str, look: dict) -> np.ndarray:
    """The middle of a picture, normalized, as training saw it in evaluation."""
    picture = Image.open(path).convert("L" if len(look["mean"]) == 1 else "RGB")
    high, wide = look["size"]
    factor = max(int(high / look["crop_pct"]) / picture.height, int(wide / look["crop_pct"]) / picture.width)
    size = int(picture.width * factor + 1e-6), int(picture.height * factor + 1e-6)
    picture = picture.resize(size, Image.Resampling[look["interpolation"].upper()])
    left, top = (size[0] - wide) // 2, (size[1] - high) // 2
    values = np.asarray(picture.crop((left, top, left + wide, top + high)), np.float32) / 255
    return ((values.reshape(high, wide, -1) - look["mean"]) / look["std"]).transpose(2, 0, 1)[None].astype(np.float32)


options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.qdqisint8allowed", "1")
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["about"])
for path in sys.argv[2:]:
    (logits,) = session.run(["logits"], {"images": pixels(path, about["preprocess"])})[0]
    print(path, (about["classes"] or range(len(logits)))[logits.argmax()])
