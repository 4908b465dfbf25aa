import { randomUUID } from "node:crypto";
import type { Asking } from "../support/ask.ts";
import type { Instance } from "../support/instance.ts";
import type { Figure, Problems } from "../support/report.ts";
import type { Claims } from "./hostile-tokens.ts";
import { type Key, type KeyServer, newKey } from "./key-server.ts";
import { token } from "./sign.ts";

interface OutageOptions {
  readonly instance: Instance;
  readonly ask: Asking;
  readonly server: KeyServer;
  /** A key that is published, and known to the instance. */
  readonly key: Key;
  readonly claims: Claims;
  readonly keyIds: number;
  readonly problems: Problems;
}

const second = 1_000;
const minute = 60 * second;
/** How long a key set counts as new, and how seldom it is asked for. */
const cacheAge = 10 * minute;
const cooldown = 30 * second;
/** How long a set may be used during an outage. */
const maxStale = 24 * 60 * minute;
/** How far the clock moves at a time during an outage. */
const step = 5 * minute;
/** The status of an address that sends too many bad tokens. */
const tooManyRequests = 429;

/** Random key ids, a rotation of keys, an outage of the key server, and answers of it that are no keys. */
export async function outage(options: OutageOptions): Promise<Figure[]> {
  const { instance, ask, server, key, claims, keyIds, problems } = options;
  const bearer = (of: Key, header: object = {}) => `Bearer ${token(of, claims, header)}`;
  const expect = async (what: string, value: string, ...wanted: number[]) => {
    const got = await ask.rest(value);
    if (!wanted.includes(got)) problems.add(what, `${got}, not ${wanted.join(" or ")}`);
  };
  let moved = 0;
  const startedAt = performance.now();
  const advance = async (ms: number) => {
    moved += ms;
    await instance.ask(ms);
  };
  const stranger = await newKey("stranger", "ES256");
  const randomKeyIds = async (count: number, ...wanted: number[]) => {
    for (let left = count; left > 0; left -= 64) {
      const values = Array.from({ length: Math.min(left, 64) }, () =>
        bearer(stranger, { kid: randomUUID() }),
      );
      await Promise.all(values.map((value) => expect("a random key id", value, ...wanted, tooManyRequests)));
      await expect("a known key among random ones", bearer(key), 200);
    }
  };

  await randomKeyIds(keyIds, 401);

  const [next, late] = [await newKey("next", "RS256"), await newKey("late", "ES256")];
  server.keys = [key, next];
  await advance(cooldown + second);
  await expect("a key that is new", bearer(next), 200);
  server.keys = [next];
  await advance(cacheAge + second);
  // At the first call after a rest.
  await expect("a key that is withdrawn", bearer(key), 401);
  await expect("a key that stays", bearer(next), 200);
  server.keys = [key, next];
  await advance(cacheAge + second);
  await expect("a key that is back", bearer(key), 200);
  const anonymous = [await newKey(undefined, "ES256"), await newKey(undefined, "ES256")];
  server.keys = [key, ...anonymous];
  await advance(cooldown + second);
  for (const one of anonymous) await expect("a key without an id", bearer(one), 200);

  let minutes = 0;
  for (const instead of noKeys) {
    server.instead = instead;
    for (let age = 0; age < 3 * cacheAge; age += step, minutes += step / minute) {
      await advance(step);
      await expect("a known key during an outage", bearer(key), 200);
      await expect("an unknown key during an outage", bearer(stranger, { kid: randomUUID() }), 503);
    }
  }
  await advance(maxStale);
  await expect("a known key at the end of a long outage", bearer(key), 503);
  server.instead = undefined;
  server.keys = [key, late];
  await advance(cacheAge + second);
  await expect("a key that is new after an outage", bearer(late), 200);

  const elapsed = moved + performance.now() - startedAt;
  const most = Math.floor(elapsed / cooldown) + 1;
  return [
    { name: "random key ids", value: keyIds },
    { name: "minutes of outage", value: minutes },
    { name: "fetches of keys", value: server.asked, atMost: most },
  ];
}

/** How a key server can be away. */
const noKeys: NonNullable<KeyServer["instead"]>[] = [
  (response) => response.socket?.resetAndDestroy(),
  (response) => response.writeHead(500).end("no"),
  (response) => response.writeHead(302, { location: "/elsewhere" }).end(),
  (response) => response.end("<html>"),
  (response) => response.end("{}"),
  (response) => response.end('{"keys":[]}'),
  (response) => response.end("\0".repeat(8 * 1024 * 1024)),
];
