// The JSON of the API that the page reads. The node's own types are in crates/api.
export interface MessageState { name: string; since: string; held_by: number; neighbours: number; until: string | null; reason: string | null; attempts: number; parts?: Parts | null }
export interface Parts { of: number; stamped: number; held: number; delivered: number }
export interface Voice { duration_ms: number; peaks: number[] }
export interface Attachment { id: string; name: string; bytes: number; kind: string; media_type: string; width: number | null; height: number | null; voice: Voice | null }
export interface Reaction { from: string; emoji: string }
export interface Message {
  id: string; conversation: string; client_id: string | null; from: string; text: string | null; created: string; received: string | null;
  sender_clock: string; state: MessageState; reply_to: string | null; attachments: Attachment[]; expires: string | null; expires_s: number | null;
  edited?: string | null; deleted?: boolean; reactions: Reaction[];
}
export interface Contact {
  id: string; name: string; state: string; conversation: string; account: string; added: string; last_heard: string | null; last_activity: string;
  verified_at: string | null; mark_lost: boolean; devices_changed: string | null; expires_s: number | null;
}
export interface Conversation { id: string; contact: Contact; last_message: Message | null; unread: number; read_up_to: string | null; muted: boolean }
export interface Warning { code: string; message: string; hint: string | null; degraded: boolean }
export interface Status {
  state: string; version: string; network: string; uptime_s: number; peers: { connected: number; in_shard: number; known: number } | null; reach: string;
  sender_hidden: boolean; outbox: { queued: number; undelivered: number } | null;
  store: { envelopes: number; bytes: number; limit_bytes: number; disk_free_bytes: number } | null; clock: { offset_ms: number; samples: number } | null;
  protected: string; warnings: Warning[]; name: string | null; peer: string | null; addresses: string[]; requests: number | null;
  traffic?: { day: string; sent_bytes: number; received_bytes: number; budget_day_bytes: number } | null;
}
export interface Peer { peer: string; address: string; outbound: boolean; held: boolean; in_shard: boolean; ping_ms: number | null }
export interface Check { name: string; verdict: string; message: string; next: string[] }
export interface Invite { id: string; link: string; bytes: number; for: string | null; expires: string; reach: string; state: string; used_by: string | null; names_own_address: boolean | null; qr_svg?: string }
export interface Preview {
  name: string; account: string; network: string | null; this_network: boolean; one_use: boolean; expires: string | null; expired: boolean; own: boolean;
  contact: Contact | null; peers: number; problem?: { code: string; message: string; hint?: string | null } | null;
}
export interface Request { id: string; name: string; account: string; text: string | null; received: string }
export interface Verification { number: string[]; words: string[]; code: string; qr_svg: string; verified_at: string | null; scan: string | null }
export interface Session { id: string; created: string; last_used: string; expires: string; kept: boolean; browser: string | null; current: boolean }
export interface TraceLine { time: string; step: string; reason: string | null; bytes: number | null; took_ms: number | null; held_by: number | null; neighbours: number | null; next_try: string | null }
export interface NodeEvent { v: number; seq: number; time: string; type: string; data: any }
/** A file that is to be sent. */
export interface Attached { kind: string; name: string; voice: Voice | null; blob: Blob }
/** What this tab has given to the node and not seen accepted yet. */
export interface Pending { client_id: string; text: string; reply_to: string | null; file: Attached | null; failed: string | null; at: string }
/** `file` lies in the composer. */
export interface Thread { messages: Message[]; before: string | null; loaded: boolean; pending: Pending[]; file: Attached | null }
/** Of an element that is made. */
export interface Props {
  [name: string]: any;
  onclick?: (event: MouseEvent) => any; onkeydown?: (event: KeyboardEvent) => any; onsubmit?: (event: SubmitEvent) => any; onchange?: (event: Event) => any;
  onfocusout?: (event: FocusEvent) => any; onpaste?: (event: ClipboardEvent) => any; ondragover?: (event: DragEvent) => any; ondragleave?: (event: DragEvent) => any; ondrop?: (event: DragEvent) => any;
}
export type Made<T extends string> = T extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[T]
  : T extends `${infer K extends keyof HTMLElementTagNameMap}.${string}` ? HTMLElementTagNameMap[K] : never;
declare global {
  // Of the worklet's own world.
  class AudioWorkletProcessor { readonly port: MessagePort }
  function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;
}
