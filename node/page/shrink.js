/** A worker, so that the page stays quick: draws a picture anew, coarser and smaller until it fits. Only what can be seen is in the new one. */

const SIDE_MAX = 1600;
/** In WebP nothing is lost at the best; below the worst a smaller picture looks better. */
const BEST = 1, GOOD = 0.82, WORST = 0.5, STEP = 0.12;

addEventListener("message", async ({ data: { file, width, height, most } }) => {
	const fits = Math.min(1, SIDE_MAX / Math.max(width, height));
	const scaled = (side = 0, scale = 1) => Math.max(1, Math.round(side * scale));
	try {
		const whole = await createImageBitmap(file, { resizeWidth: scaled(width, fits), resizeHeight: scaled(height, fits), resizeQuality: "high" });
		let type = "image/webp", quality = file.size <= most ? BEST : GOOD, scale = 1;
		for (;;) {
			const canvas = new OffscreenCanvas(scaled(whole.width, scale), scaled(whole.height, scale));
			const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
			context.imageSmoothingQuality = "high";
			context.fillStyle = "#fff";
			if (type === "image/jpeg") context.fillRect(0, 0, canvas.width, canvas.height);
			context.drawImage(whole, 0, 0, canvas.width, canvas.height);
			const blob = await canvas.convertToBlob({ type, quality });
			if (blob.type !== type) type = "image/jpeg";
			else if (blob.size <= most) return postMessage(blob);
			else if (quality > WORST) quality -= STEP;
			else scale *= 0.8;
		}
	} catch { postMessage(null); }
});
