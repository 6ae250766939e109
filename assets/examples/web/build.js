// Put the page together in dist/: it then runs from any static server.
import { copyFileSync, mkdirSync } from "node:fs";

const runtime = "node_modules/onnxruntime-web/dist/";
const files = [
  "index.html", "spotter.js", "microphone.js", "model.onnx",
  ...["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"].map(
    (name) => runtime + name,
  ),
];
mkdirSync("dist", { recursive: true });
for (const file of files) copyFileSync(file, "dist/" + file.split("/").pop());
