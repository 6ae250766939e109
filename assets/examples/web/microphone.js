// Runs beside the sound card: hands every block of samples to the page.
class Microphone extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
}
registerProcessor("microphone", Microphone);
