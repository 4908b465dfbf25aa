import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { Instance } from "./instance.ts";
import { openClient, type PairClient } from "./pair-client.ts";
import type { Action } from "./pair-model.ts";
import { type Random, randomOf } from "./random.ts";

/** A call of the load, as its caller saw it. */
export interface Call {
  /** Both on the clock of `performance.now()`. */
  readonly began: number;
  readonly ended: number;
  /** `wrong`: what must never be answered. `unexpected`: neither an answer nor that there is none for now. */
  readonly outcome: "answered" | "unavailable" | "wrong" | "unexpected";
}

/** A load that goes on until it is stopped. */
export interface MixedLoad {
  readonly calls: Call[];
  /** Waits until so many more calls have been answered. */
  answered(count: number): Promise<void>;
  stop(): Promise<void>;
}

interface LoadOptions {
  readonly seed: number;
  readonly callers: number;
  /** The most calls per second of all callers, evenly spread. */
  readonly rate: number;
}

const lookMs = 10;

type Pair = readonly [string, string];

/** Between users who block each other only checks are made: they must be DENY. */
const changesAndReads: readonly Action[] = ["follow", "unfollow", "block", "unblock", "check", "read"];
const pairCount = 40;

/** Puts an instance under a steady load of all kinds of calls, over gRPC and REST. */
export async function startMixedLoad(
  instance: Instance,
  { seed, callers, rate }: LoadOptions,
): Promise<MixedLoad> {
  const clients = Array.from({ length: callers }, () => openClient(instance));
  const [first] = clients as [PairClient];
  const pairs: Pair[] = Array.from({ length: 2 * pairCount }, () => [randomUUID(), randomUUID()]);
  await first.addUsers(pairs.flat());
  const [blocked, free] = [pairs.slice(0, pairCount), pairs.slice(pairCount)];
  for (const [user, other] of blocked) await first.act("block", user, other);
  const reader = blocked[0]?.[0] ?? "";
  const token = await instance.userToken(reader);

  const kinds: ((client: PairClient, random: Random) => Promise<Call["outcome"]>)[] = [
    async (client, random) => {
      const pair = pick(blocked, random);
      const [viewer, owner] = random.below(2) === 0 ? pair : pair.toReversed();
      const result = await client.act("check", viewer ?? "", owner ?? "");
      if (result === undefined) return "unavailable";
      return result.startsWith("DENY") ? "answered" : "wrong";
    },
    async (client, random) => {
      const [user, other] = pick(free, random);
      const result = await client.act(pick(changesAndReads, random), user, other);
      return result === undefined ? "unavailable" : "answered";
    },
    async () => {
      const url = `${instance.publicUrl}/api/v1/e-social/privacy-control/blocked?page_size=10`;
      const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
      await answer.arrayBuffer();
      if (answer.status === 503) return "unavailable";
      return answer.status === 200 ? "answered" : "unexpected";
    },
  ];

  const calls: Call[] = [];
  let answered = 0;
  let stopped = false;
  const intervalMs = (1_000 * callers) / rate;
  const loops = clients.map(async (client, number) => {
    const random = randomOf(seed + number);
    for (let next = performance.now() + random.below(intervalMs); !stopped; ) {
      const began = performance.now();
      const outcome = await pick(kinds, random)(client, random).catch(() => "unexpected" as const);
      const ended = performance.now();
      calls.push({ began, ended, outcome });
      if (outcome === "answered") answered++;
      // A late caller does not catch up.
      next = Math.max(next + intervalMs, ended);
      await setTimeout(next - ended);
    }
  });

  return {
    calls,
    async answered(count) {
      const from = answered;
      while (answered < from + count) await setTimeout(lookMs);
    },
    async stop() {
      stopped = true;
      await Promise.all(loops);
      for (const client of clients) client.close();
    },
  };
}

function pick<T>(of: readonly T[], random: Random): T {
  return of[random.below(of.length)] as T;
}
