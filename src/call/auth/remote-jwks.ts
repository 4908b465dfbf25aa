import { setTimeout } from "node:timers/promises";
import { errors, type JWSHeaderParameters } from "jose";
import type { Logger } from "pino";
import { PrivacyError } from "../../domain/errors.ts";
import { type Candidates, KeySet } from "./key-set.ts";

/** How often the set is fetched: within this time a withdrawn key is noticed without a call. */
const refreshMs = 5 * 60_000;
/** After this time without a fetch (the process was suspended) the set is fetched again before it is used. */
const overdueMs = 6 * 60_000;
/** The shortest time between two fetches while there is a set: tokens of unknown keys must not flood the key server. */
const cooldownMs = 30_000;
/** The backoff after failed fetches while there is no set: the first pause, which doubles up to the longest. */
const firstRetryMs = 250;
const longestRetryMs = 5_000;
const fetchTimeoutMs = 5_000;
/** The largest key set that is read, in bytes: room for a hundred keys with their certificates. */
const maxSetBytes = 512 * 1024;

/** Keys that a server publishes, and may replace. */
export interface PublishedKeys {
  /** The keys that may have signed a token with this header. Throws when there are none, or `UNAVAILABLE`. */
  candidates(header: JWSHeaderParameters): Promise<Candidates>;
  /**
   * Fetches a set newer than `version`, unless the last fetch was a short time ago. Resolves to whether there is one.
   * Rejects with `UNAVAILABLE` when the key server does not answer: then it is unknown whether there is one.
   */
  renew(version: number): Promise<boolean>;
  /** The number of the set in use: another set has another number. */
  version(): number;
  /** Whether that set is still in use, and may be used without a fetch. */
  isCurrent(version: number): boolean;
}

interface RemoteJwksOptions {
  /** For how long the last good set is used while the key server does not answer with another. */
  readonly maxStaleMs: number;
  readonly log: Logger;
  /** Called at the start, and whenever keys become available or unavailable. */
  readonly onAvailable?: (available: boolean) => void;
  readonly now?: () => number;
  readonly fetch?: typeof fetch;
  /** Waits between two fetches in the background. Rejects when the signal aborts. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

const unrefPause = (ms: number, signal: AbortSignal) => setTimeout(ms, undefined, { signal, ref: false });

/**
 * The JWK set (RFC 7517) of a URL. It is fetched at once, and every five minutes until it is disposed of; sooner for a
 * token that no key of the set has signed, but not within 30 seconds of the last fetch. While there is no set, it
 * retries after 250 ms to 5 s.
 *
 * An answer without a usable key counts as none. The last good set serves during an outage of the key server, for
 * `maxStaleMs` at most. A token of an unknown key is then `UNAVAILABLE`: it may be signed by a new key.
 */
export class RemoteJwks implements PublishedKeys, Disposable {
  readonly #url: URL;
  readonly #options: Required<RemoteJwksOptions>;
  readonly #disposed = new AbortController();
  #set: KeySet | undefined;
  /** The text of the set, by which another set is recognised. */
  #text: string | undefined;
  #version = 0;
  /** When the fetch of the set in use, the last fetch and the end of the last fetch were, in milliseconds. */
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #endedAt = Number.NEGATIVE_INFINITY;
  #lastFailed = false;
  /** The fetch in flight, shared by all that wait for one. */
  #fetching: Promise<void> | undefined;
  #wasAvailable: boolean | undefined;

  constructor(url: URL, options: RemoteJwksOptions) {
    this.#url = url;
    this.#options = { onAvailable: () => {}, now: Date.now, pause: unrefPause, fetch, ...options };
    this.#announce();
    // Ends by a rejection, when it is disposed of.
    this.#refresh().catch(() => {});
  }

  async candidates(header: JWSHeaderParameters): Promise<Candidates> {
    for (let round = 0; ; round++) {
      const set = await this.#current();
      const version = this.#version;
      const candidates = await set.matching(header);
      if (candidates.keys.length > 0) return candidates;
      if (round > 0 || !(await this.renew(version))) throw new errors.JWKSNoMatchingKey();
    }
  }

  async renew(known: number): Promise<boolean> {
    if (known !== this.#version) return true;
    const isCool = this.#isOlderThan(cooldownMs - 1, this.#triedAt);
    if (this.#fetching !== undefined || isCool) await this.#fetchOrUnavailable();
    else if (this.#lastFailed) throw unavailable(new Error("the key set could not be fetched"));
    return known !== this.#version;
  }

  version(): number {
    return this.#version;
  }

  isCurrent(version: number): boolean {
    const now = this.#options.now();
    return version === this.#version && this.available(now) && !this.#isOverdue(now);
  }

  /** Whether there are keys to verify tokens with. */
  available(now = this.#options.now()): boolean {
    return this.#set !== undefined && !this.#isOlderThan(this.#options.maxStaleMs, this.#fetchedAt, now);
  }

  [Symbol.dispose](): void {
    this.#disposed.abort();
  }

  /** Fetches the set in the background, until it is disposed of. */
  async #refresh(): Promise<void> {
    for (let retryMs = firstRetryMs; ; ) {
      if (!this.available() || this.#isOlderThan(cooldownMs, this.#triedAt))
        await this.#fetch().catch(() => {});
      const available = this.available();
      if (available && !this.#lastFailed) retryMs = firstRetryMs;
      const ms = available ? (this.#lastFailed ? cooldownMs : refreshMs * 0.75) : retryMs;
      if (!available) retryMs = Math.min(2 * retryMs, longestRetryMs);
      // Jitter of up to a third: instances that started together must not fetch together.
      await this.#options.pause(ms * (1 + Math.random() / 3), this.#disposed.signal);
    }
  }

  /** The set in use. Waits for the key server only when there is no set, or when the last fetch is overdue. */
  async #current(): Promise<KeySet> {
    if (this.#isOverdue()) await this.#fetch().catch(() => {});
    else if (!this.available() && this.#fetching !== undefined) await this.#fetchOrUnavailable();
    if (this.#set === undefined || !this.available()) throw unavailable(new Error("no key set is available"));
    return this.#set;
  }

  async #fetchOrUnavailable(): Promise<void> {
    try {
      await this.#fetch();
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  #fetch(): Promise<void> {
    this.#fetching ??= this.#attempt();
    return this.#fetching;
  }

  async #attempt(): Promise<void> {
    const { now, log } = this.#options;
    this.#triedAt = now();
    try {
      await this.#load();
      if (this.#lastFailed) log.info("the key set is fetched again");
      this.#lastFailed = false;
    } catch (err) {
      if (!this.#lastFailed && !this.#disposed.signal.aborted)
        log.warn({ err }, "the key set cannot be fetched");
      this.#lastFailed = true;
      throw err;
    } finally {
      this.#fetching = undefined;
      this.#endedAt = now();
      this.#announce();
    }
  }

  async #load(): Promise<void> {
    const text = await readJwks(this.#url, this.#options.fetch, this.#disposed.signal);
    if (text !== this.#text) {
      this.#set = await KeySet.parse(text);
      this.#text = text;
      this.#version += 1;
    }
    this.#fetchedAt = this.#triedAt;
  }

  #announce(): void {
    const available = this.available();
    if (available === this.#wasAvailable) return;
    this.#wasAvailable = available;
    this.#options.onAvailable(available);
  }

  #isOverdue(now?: number): boolean {
    return this.#isOlderThan(overdueMs, this.#endedAt, now);
  }

  /** Whether a time is more than `ms` ago. A time in the future means that the clock was set back: it counts as old. */
  #isOlderThan(ms: number, since: number, now = this.#options.now()): boolean {
    return !(now >= since && now - since <= ms);
  }
}

function unavailable(cause: unknown): PrivacyError {
  return new PrivacyError("UNAVAILABLE", { cause });
}

/** Fetches the text of a key set. Rejects when it is too large to be one. */
async function readJwks(url: URL, get: typeof fetch, signal: AbortSignal): Promise<string> {
  const response = await get(url, {
    headers: { accept: "application/jwk-set+json, application/json" },
    redirect: "error",
    signal: AbortSignal.any([signal, AbortSignal.timeout(fetchTimeoutMs)]),
  });
  if (!response.ok) throw new Error(`the key server answered ${response.status}`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxSetBytes) throw new Error(`the key set is larger than ${maxSetBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
