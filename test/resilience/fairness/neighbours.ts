import { setTimeout } from "node:timers/promises";
import { ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../../../src/call/errors.ts";
import { HttpLoad } from "../overload/http-load.ts";
import type { Outcome } from "../overload/load.ts";
import type { Instance } from "../support/instance.ts";
import { openClient } from "../support/pair-client.ts";
import { randomOf } from "../support/random.ts";

/** Callers within their limits. */
export interface Neighbours {
  /** Has them call for so many milliseconds, at a steady pace, whatever becomes of their calls. */
  call(ms: number): Promise<Heard>;
  close(): void;
}

/** What they heard. Times are in milliseconds, from when a call was due. */
export interface Heard {
  readonly users: readonly number[];
  readonly service: readonly number[];
  /** How often they were rejected by a rate limit. */
  readonly refused: number;
  /** How often there was no good answer for another reason. */
  readonly failed: number;
}

type Answer = Pick<Outcome, "status" | "ms">;

/** Calls a second: of each user, a third of them a block and a third an unblock, and of the service. */
const rates = { user: 10, service: 50 };
/** Within which the last answers must have come. */
const patienceMs = 10_000;
const lookMs = 10;
const control = "/api/v1/e-social/privacy-control";

/** Users who block, read their list and unblock over REST, and a service that asks for decisions over gRPC. */
export async function openNeighbours(
  instance: Instance,
  { seed, users, others }: { seed: number; users: readonly string[]; others: readonly string[] },
): Promise<Neighbours> {
  const random = randomOf(seed);
  const callers = await Promise.all(
    users.map(async (id) => ({
      token: await instance.userToken(id),
      // No user blocks another one twice, so that no call can depend on a late one.
      next: random.below(others.length),
    })),
  );
  let turn = 0;
  const load = new HttpLoad(instance.publicUrl, () => {
    const round = Math.floor(turn / callers.length);
    const caller = callers[turn++ % callers.length] as (typeof callers)[number];
    const other = others[(caller.next + Math.floor(round / 3)) % others.length];
    const lines = [
      `POST ${control}/block/${other}`,
      `GET ${control}/blocked?page_size=10`,
      `DELETE ${control}/unblock/${other}`,
    ];
    return `${lines[round % 3]} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${caller.token}\r\n\r\n`;
  });
  const client = openClient(instance);
  const pick = () => others[random.below(others.length)] as string;

  async function check(dueAt: number): Promise<Answer> {
    const effect = await client.act("check", pick(), pick()).catch((failure) => ConnectError.from(failure));
    const isRefused = effect instanceof ConnectError && reasonOf(effect) === "RATE_LIMITED";
    const status = typeof effect === "string" ? 200 : isRefused ? 429 : 503;
    return { status, ms: performance.now() - dueAt };
  }

  async function checks(ms: number): Promise<Answer[]> {
    const under: Promise<Answer>[] = [];
    const startedAt = performance.now();
    for (let sent = 0; performance.now() - startedAt < ms; sent++) {
      const dueAt = startedAt + (sent * 1_000) / rates.service;
      await setTimeout(Math.max(0, dueAt - performance.now()));
      under.push(check(dueAt));
    }
    return Promise.all(under);
  }

  async function changes(ms: number): Promise<Answer[]> {
    const before = turn;
    const outcomes = await load.openLoop(callers.length * rates.user, ms);
    // Late answers still count.
    for (let waited = 0; outcomes.count < turn - before && waited < patienceMs; waited += lookMs)
      await setTimeout(lookMs);
    return outcomes.soFar().flatMap(({ status, ms }) => ms.map((ms) => ({ status, ms })));
  }

  return {
    async call(ms) {
      const before = turn;
      const [users, service] = await Promise.all([changes(ms), checks(ms)]);
      const bad = [...users, ...service].filter(({ status }) => status !== 200);
      const refused = bad.filter(({ status }) => status === 429).length;
      return {
        users: users.map(({ ms }) => ms),
        service: service.map(({ ms }) => ms),
        refused,
        failed: bad.length - refused + (turn - before - users.length),
      };
    },
    close() {
      load.close();
      client.close();
    },
  };
}
