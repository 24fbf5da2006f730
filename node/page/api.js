/** The node's API. The token belongs to this port alone: it lies in the storage of this origin and goes in a header. */

const KEY = "starling-session";

/** What the node refused, in its own words. */
export class Refused extends Error {
	/** @param {number} status @param {{code: string, message: string, hint?: string | null, details?: Record<string, any>}} error */
	constructor(status, error) {
		super(error.message);
		this.status = status;
		this.code = error.code;
		this.hint = error.hint ?? "";
		this.details = error.details ?? {};
	}
}

/** The node does not answer. */
export class Gone extends Error {}

/** @returns {{id: string, token: string} | null} */
export function session() {
	const text = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
	try { return text ? JSON.parse(text) : null; } catch { return null; }
}

/** @param {{id: string, token: string} | null} opened @param {boolean} keep */
export function setSession(opened, keep) {
	sessionStorage.removeItem(KEY);
	localStorage.removeItem(KEY);
	if (opened) (keep ? localStorage : sessionStorage).setItem(KEY, JSON.stringify({ id: opened.id, token: opened.token }));
}

export const isKept = () => localStorage.getItem(KEY) !== null;

/** Called when the node no longer knows this browser. */
export const hooks = { signedOut: () => {} };

/**
 * One call. Its answer, or `null` when there is none to read.
 * @param {string} method @param {string} path @param {any} [body] JSON, or a Blob
 * @returns {Promise<any>}
 */
export async function call(method, path, body) {
	return (await callWithSeq(method, path, body)).body;
}

const gone = () => { throw new Gone("The node does not answer."); };

/** @param {string} method @param {string} path @param {any} [body] */
async function ask(method, path, body) {
	/** @type {Record<string, string>} */
	const headers = {};
	const own = session();
	if (own) headers["Authorization"] = `Bearer ${own.token}`;
	const isBlob = body instanceof Blob;
	if (body !== undefined) headers["Content-Type"] = isBlob ? body.type : "application/json";
	const response = await fetch(path, { method, headers, body: body === undefined ? undefined : isBlob ? body : JSON.stringify(body), cache: "no-store" }).catch(gone);
	if (response.ok) return response;
	const refused = new Refused(response.status, (await json(response))?.error ?? { code: "internal", message: "The node failed." });
	if (refused.status === 401 && own) hooks.signedOut();
	throw refused;
}

/** @param {Response} response @returns {Promise<any>} */
async function json(response) {
	const text = await response.text().catch(gone);
	try { return text ? JSON.parse(text) : null; } catch { throw new Gone("Something else answers in the node's place."); }
}

/**
 * The same, with the number of the newest event before it.
 * @param {string} method @param {string} path @param {any} [body]
 * @returns {Promise<{body: any, seq: number | null}>}
 */
export async function callWithSeq(method, path, body) {
	const response = await ask(method, path, body);
	const seq = response.headers.get("Starling-Seq");
	return { body: await json(response), seq: seq === null ? null : Number(seq) };
}

/** A file of a message. @param {string} id */
export const blob = async (id) => (await ask("GET", `/v1/blobs/${encodeURIComponent(id)}`)).blob().catch(gone);

/** @param {string} path */
export const get = (path) => call("GET", path);
/** @param {string} path @param {any} [body] */
export const post = (path, body = {}) => call("POST", path, body);

/** What to show a person of an error. @param {unknown} error */
export function wordsOf(error) {
	if (error instanceof Refused) return error.hint && !error.hint.includes("starling ") ? `${error.message} ${error.hint}` : error.message;
	return error instanceof Error ? error.message : String(error);
}
