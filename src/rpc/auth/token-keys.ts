import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { PrivacyError } from "../../domain/errors.ts";
import type { PublishedKeys } from "./tokens.ts";

/** Keys older than this are fetched again in the background. */
const maxAgeMs = 10 * 60_000;
/** The shortest time between two fetches, so that unknown key ids cannot make us flood the key server. */
const cooldownMs = 30_000;
const fetchTimeoutMs = 5_000;
/** The largest key set that is read, in bytes: room for a hundred keys with their certificates. */
const maxSetBytes = 512 * 1024;

interface KeyServerOptions {
  readonly now?: () => number;
  readonly fetch?: typeof fetch;
}

/**
 * Resolves the keys of a JWKS URL (RFC 7517). The last good set serves for as long as the key server is away; only
 * a key that it does not hold is then UNAVAILABLE, since nobody can tell whether it is good. At most one fetch runs
 * in 30 seconds.
 */
export function remoteKeys(url: URL, options: KeyServerOptions = {}): PublishedKeys {
  const now = options.now ?? Date.now;
  const get = options.fetch ?? fetch;
  let keys: JWTVerifyGetKey | undefined;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let triedAt = Number.NEGATIVE_INFINITY;
  let lastFailed = false;
  let edition = 0;
  let running: Promise<JWTVerifyGetKey> | undefined;

  async function load(): Promise<JWTVerifyGetKey> {
    triedAt = now();
    lastFailed = true;
    const response = await get(url, {
      headers: { accept: "application/jwk-set+json, application/json" },
      redirect: "error",
      signal: AbortSignal.timeout(fetchTimeoutMs),
    });
    if (!response.ok) throw new Error(`the key server answered ${response.status}`);
    keys = createLocalJWKSet(JSON.parse(await readText(response)) as JSONWebKeySet);
    edition += 1;
    fetchedAt = now();
    lastFailed = false;
    return keys;
  }

  function refresh(): Promise<JWTVerifyGetKey> {
    running ??= load().finally(() => {
      running = undefined;
    });
    return running;
  }

  const isOld = () => now() - fetchedAt > maxAgeMs;
  const mayFetch = () => running !== undefined || now() - triedAt >= cooldownMs;

  async function refreshOrUnavailable(): Promise<JWTVerifyGetKey> {
    try {
      if (!mayFetch()) throw new Error("the last fetch of the key set failed");
      return await refresh();
    } catch (cause) {
      throw new PrivacyError("UNAVAILABLE", { cause });
    }
  }

  const getKey: JWTVerifyGetKey = async (header, token) => {
    const known = keys ?? (await refreshOrUnavailable());
    if (isOld() && mayFetch()) refresh().catch(() => {});
    try {
      return await known(header, token);
    } catch (failure) {
      if (!(failure instanceof errors.JWKSNoMatchingKey)) throw failure;
      if (!lastFailed && !mayFetch()) throw failure;
      const renewed = await refreshOrUnavailable();
      return await renewed(header, token);
    }
  };

  return {
    getKey,
    edition: () => edition,
    // While the key server is away, asking comes to nothing before another fetch may be tried.
    isCurrent: (asked) => asked === edition && !(isOld() && mayFetch()),
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
