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

/** The keys of a key server, which are fetched in the background until they are disposed of. */
export interface RemoteKeys extends PublishedKeys, Disposable {
  /** Whether there are keys to verify tokens with. */
  available(): boolean;
}

interface RemoteKeysOptions {
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
 * Fetches the JWK set (RFC 7517) of a URL: at once, and every five minutes; sooner for a token that no key of the set
 * has signed, but not within 30 seconds of the last fetch. While there is no set, it retries after 250 ms to 5 s.
 *
 * An answer without a usable key counts as none. The last good set serves during an outage of the key server, for
 * `maxStaleMs` at most. A token of an unknown key is then `UNAVAILABLE`: it may be signed by a new key.
 */
export function remoteKeys(url: URL, options: RemoteKeysOptions): RemoteKeys {
  const { maxStaleMs, log, onAvailable = () => {}, now = Date.now, pause = unrefPause } = options;
  const get = options.fetch ?? fetch;
  const ended = new AbortController();
  let set: KeySet | undefined;
  let text: string | undefined;
  let version = 0;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let triedAt = Number.NEGATIVE_INFINITY;
  let endedAt = Number.NEGATIVE_INFINITY;
  let lastFailed = false;
  let running: Promise<void> | undefined;
  let wasAvailable: boolean | undefined;

  // A time in the future means that the clock was set back: it counts as old.
  const isOlderThan = (ms: number, since: number, at = now()) => !(at >= since && at - since <= ms);
  const available = (at = now()) => set !== undefined && !isOlderThan(maxStaleMs, fetchedAt, at);
  const isOverdue = (at = now()) => isOlderThan(overdueMs, endedAt, at);

  function announce(): void {
    if (available() === wasAvailable) return;
    wasAvailable = available();
    onAvailable(wasAvailable);
  }

  async function load(): Promise<void> {
    const response = await get(url, {
      headers: { accept: "application/jwk-set+json, application/json" },
      redirect: "error",
      signal: AbortSignal.any([ended.signal, AbortSignal.timeout(fetchTimeoutMs)]),
    });
    if (!response.ok) throw new Error(`the key server answered ${response.status}`);
    const received = await readText(response);
    if (received !== text) {
      set = await KeySet.parse(received);
      text = received;
      version += 1;
    }
    fetchedAt = triedAt;
  }

  async function attempt(): Promise<void> {
    triedAt = now();
    try {
      await load();
      if (lastFailed) log.info("the key set is fetched again");
      lastFailed = false;
    } catch (err) {
      if (!lastFailed && !ended.signal.aborted) log.warn({ err }, "the key set cannot be fetched");
      lastFailed = true;
      throw err;
    } finally {
      running = undefined;
      endedAt = now();
      announce();
    }
  }

  function fetchSet(): Promise<void> {
    running ??= attempt();
    return running;
  }

  async function fetchOrUnavailable(): Promise<void> {
    try {
      await fetchSet();
    } catch (cause) {
      throw new PrivacyError("UNAVAILABLE", { cause });
    }
  }

  /** The set in use. Waits for the key server only when there is no set, or when the last fetch is overdue. */
  async function current(): Promise<KeySet> {
    if (isOverdue()) await fetchSet().catch(() => {});
    else if (!available() && running !== undefined) await fetchOrUnavailable();
    if (set === undefined || !available())
      throw new PrivacyError("UNAVAILABLE", { cause: new Error("no key set is available") });
    return set;
  }

  async function renew(known: number): Promise<boolean> {
    if (known !== version) return true;
    if (running !== undefined || isOlderThan(cooldownMs - 1, triedAt)) await fetchOrUnavailable();
    else if (lastFailed)
      throw new PrivacyError("UNAVAILABLE", { cause: new Error("the key set could not be fetched") });
    return known !== version;
  }

  async function keepFresh(): Promise<void> {
    for (let retryMs = firstRetryMs; ; ) {
      if (!available() || isOlderThan(cooldownMs, triedAt)) await fetchSet().catch(() => {});
      if (available() && !lastFailed) retryMs = firstRetryMs;
      const ms = available() ? (lastFailed ? cooldownMs : refreshMs * 0.75) : retryMs;
      if (!available()) retryMs = Math.min(2 * retryMs, longestRetryMs);
      // Jitter of up to a third: instances that started together must not fetch together.
      await pause(ms * (1 + Math.random() / 3), ended.signal);
    }
  }

  announce();
  keepFresh().catch(() => {});

  return {
    async candidates(header) {
      for (let round = 0; ; round++) {
        const held = await current();
        const of = version;
        const candidates = await held.matching(header);
        if (candidates.keys.length > 0) return candidates;
        if (round > 0 || !(await renew(of))) throw new errors.JWKSNoMatchingKey();
      }
    },
    renew,
    version: () => version,
    isCurrent(asked) {
      const at = now();
      return asked === version && available(at) && !isOverdue(at);
    },
    available: () => available(),
    [Symbol.dispose]: () => ended.abort(),
  };
}

/** Reads a body, or throws when it is too large to be a key set. */
async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > maxSetBytes) throw new Error(`the key set is larger than ${maxSetBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
