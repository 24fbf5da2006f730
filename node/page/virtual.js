/**
 * A long list of which only what can be seen is in the document: 50,000 messages cost as much as fifty.
 *
 * Heights are guessed until a row was shown once. What a person looks at stays where it is when rows before it turn out
 * larger or smaller, or older ones are put in front.
 */

import { h } from "./dom.js";

const GUESS_PX = 60;
/** Rows are kept in the document so far above and below what can be seen. */
const SPARE_PX = 600;
/** So near to the end counts as the end. */
const END_PX = 40;

/** @typedef {{key: string, version: string, make: () => HTMLElement}} Row */

export class VirtualList {
	/** @type {Row[]} */
	#rows = [];
	/** @type {Float64Array} */
	#tops = new Float64Array(1);
	/** @type {Map<string, number>} */
	#heights = new Map();
	/** @type {Map<string, {version: string, element: HTMLElement}>} */
	#shown = new Map();
	#above = h("div.spacer", { "aria-hidden": "true" });
	#below = h("div.spacer", { "aria-hidden": "true" });
	#list;
	#frame = 0;
	#atEnd = true;
	#width = 0;

	/**
	 * @param {string} label @param {() => void} onStart called when a person nears the start
	 * @param {(key: string) => void} onLeft called when a row is no longer in the document
	 */
	constructor(label, onStart, onLeft) {
		this.#list = h("ol.messages", { "aria-label": label });
		this.element = h("div.scroll", { tabindex: "-1" }, this.#above, this.#list, this.#below);
		this.onStart = onStart;
		this.onLeft = onLeft;
		this.element.addEventListener("scroll", () => {
			this.#atEnd = this.#distanceToEnd() <= END_PX;
			this.#schedule();
		}, { passive: true });
		new ResizeObserver(() => {
			if (this.element.clientWidth !== this.#width) {
				this.#width = this.element.clientWidth;
				this.#heights.clear();
			}
			this.#layOut();
			if (this.#atEnd) this.toEnd(); else this.#draw();
		}).observe(this.element);
	}

	get atEnd() { return this.#atEnd; }
	get length() { return this.#rows.length; }

	#distanceToEnd() { return this.element.scrollHeight - this.element.clientHeight - this.element.scrollTop; }

	/** @param {Row[]} rows */
	set(rows) {
		const anchor = this.#atEnd ? null : this.#anchor();
		this.#rows = rows;
		this.#layOut();
		if (this.#atEnd) this.toEnd();
		else { this.#restore(anchor); this.#draw(); }
	}

	toEnd() {
		this.#atEnd = true;
		this.element.scrollTop = this.#tops[this.#rows.length];
		this.#draw();
		// Rows drawn for the first time have their true heights only now.
		this.element.scrollTop = this.element.scrollHeight;
		this.#draw();
	}

	/** Brings a row into the middle and focuses it. @param {string} key */
	reveal(key) {
		const place = this.#rows.findIndex((row) => row.key === key);
		if (place < 0) return false;
		this.#atEnd = false;
		for (let turn = 0; turn < 3; turn += 1) {
			this.element.scrollTop = this.#tops[place] - this.element.clientHeight / 3;
			this.#draw();
		}
		const element = this.#shown.get(key)?.element;
		element?.focus({ preventScroll: true });
		return Boolean(element);
	}

	/** The row that has the focus, and its neighbours in the list. @param {number} step */
	moveFocus(step) {
		const key = document.activeElement?.closest("li")?.dataset.key;
		const place = this.#rows.findIndex((row) => row.key === key);
		const next = this.#rows[place < 0 ? this.#rows.length - 1 : Math.max(0, Math.min(this.#rows.length - 1, place + step))];
		if (!next) return;
		const shown = this.#shown.get(next.key)?.element;
		if (!shown) { this.reveal(next.key); return; }
		shown.focus();
	}

	#layOut() {
		const tops = new Float64Array(this.#rows.length + 1);
		let top = 0;
		for (let place = 0; place < this.#rows.length; place += 1) {
			tops[place] = top;
			top += this.#heights.get(this.#rows[place].key) ?? GUESS_PX;
		}
		tops[this.#rows.length] = top;
		this.#tops = tops;
	}

	/** The first row that can be seen, and how far it is from the upper edge. */
	#anchor() {
		const place = this.#at(this.element.scrollTop);
		const row = this.#rows[place];
		return row ? { key: row.key, offset: this.#tops[place] - this.element.scrollTop } : null;
	}

	/** @param {{key: string, offset: number} | null} anchor */
	#restore(anchor) {
		const place = anchor ? this.#rows.findIndex((row) => row.key === anchor.key) : -1;
		if (anchor && place >= 0) this.element.scrollTop = this.#tops[place] - anchor.offset;
	}

	/** The row at a height. @param {number} top */
	#at(top) {
		let low = 0, high = this.#rows.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.#tops[middle + 1] <= top) low = middle + 1; else high = middle;
		}
		return low;
	}

	#schedule() {
		if (this.#frame) return;
		this.#frame = requestAnimationFrame(() => { this.#frame = 0; this.#draw(); });
	}

	#draw() {
		const { scrollTop, clientHeight } = this.element;
		const first = this.#at(Math.max(0, scrollTop - SPARE_PX));
		const last = Math.min(this.#rows.length, this.#at(scrollTop + clientHeight + SPARE_PX) + 1);
		const wanted = this.#rows.slice(first, last);
		const keys = new Set(wanted.map((row) => row.key));
		for (const [key, { element }] of this.#shown) {
			// A row that has the focus stays, or the focus would be lost.
			if (!keys.has(key) && !element.contains(document.activeElement)) { element.remove(); this.#shown.delete(key); this.onLeft(key); }
		}
		let before = /** @type {ChildNode | null} */ (null);
		wanted.forEach((row, index) => {
			let shown = this.#shown.get(row.key);
			if (!shown || shown.version !== row.version) {
				const held = /** @type {HTMLElement | null} */ (shown?.element.contains(document.activeElement) ? document.activeElement : null);
				const element = row.make();
				element.dataset.key = row.key;
				if (shown) shown.element.replaceWith(element);
				// What was taken over into the new row keeps the focus.
				if (held) (element.contains(held) ? held : element).focus({ preventScroll: true });
				shown = { version: row.version, element };
				this.#shown.set(row.key, shown);
				this.#heights.delete(row.key);
			}
			shown.element.setAttribute("aria-setsize", String(this.#rows.length));
			shown.element.setAttribute("aria-posinset", String(first + index + 1));
			const place = before ? before.nextSibling : this.#list.firstChild;
			if (place !== shown.element) this.#list.insertBefore(shown.element, place);
			before = shown.element;
		});
		this.#measure(wanted, first);
		this.#above.style.height = `${this.#tops[first]}px`;
		this.#below.style.height = `${this.#tops[this.#rows.length] - this.#tops[last]}px`;
		if (first < 30 && this.#rows.length > 0) this.onStart();
	}

	/** @param {Row[]} wanted @param {number} first */
	#measure(wanted, first) {
		let changed = false;
		const anchor = this.#anchor();
		wanted.forEach((row) => {
			if (this.#heights.has(row.key)) return;
			const height = this.#shown.get(row.key)?.element.getBoundingClientRect().height ?? 0;
			if (height > 0) { this.#heights.set(row.key, height); changed = true; }
		});
		if (!changed) return;
		this.#layOut();
		this.#above.style.height = `${this.#tops[first]}px`;
		if (!this.#atEnd) this.#restore(anchor);
	}
}
