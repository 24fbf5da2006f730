/** Runs beside the sound: hands on what the microphone gives. */
registerProcessor("capture", class extends AudioWorkletProcessor {
	/** @param {Float32Array[][]} inputs */
	process([[samples]]) {
		if (samples) this.port.postMessage(samples.slice());
		return true;
	}
});
