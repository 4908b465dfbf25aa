import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { addUsers } from "../changes/api-writers.ts";
import type { Instance } from "../support/instance.ts";
import { openClient, type PairClient } from "../support/pair-client.ts";
import type { Problems } from "../support/report.ts";
import type { Consumer, Pair } from "./consumer-process.ts";

/** A pair of which the second is to be found blocked by the first. */
interface Probe {
  readonly pair: Pair;
  /** When the block was acknowledged, by `performance.now()`; undefined while there may be none. */
  blockedAt: number | undefined;
}

const probeCount = 60;
/** How old an answer may be that a check accepts. */
const accepted = [250, 500, 1_000, 2_000];
const pauseMs = 40;

/** Blocks that are made all the time, and checks of them that accept answers of some age. */
export class Probes {
  readonly counts = { blocks: 0, answered: 0, refused: 0 };
  readonly #clients: readonly PairClient[];
  readonly #probes: readonly Probe[];
  readonly #problems: Problems;

  private constructor(clients: readonly PairClient[], probes: readonly Probe[], problems: Problems) {
    this.#clients = clients;
    this.#probes = probes;
    this.#problems = problems;
  }

  static async open(instances: readonly Instance[], problems: Problems): Promise<Probes> {
    const probes = Array.from({ length: probeCount }, () => ({
      pair: [randomUUID(), randomUUID()] as const,
      blockedAt: undefined,
    }));
    await addUsers(
      instances[0] as Instance,
      probes.flatMap(({ pair }) => pair),
    );
    return new Probes(instances.map(openClient), probes, problems);
  }

  async run(consumers: readonly Consumer[], over: AbortSignal): Promise<void> {
    await Promise.all([
      ...this.#clients.map((client, number) => this.#block(client, number, over)),
      ...consumers.map((consumer) => this.#check(consumer, over)),
    ]);
    for (const client of this.#clients) client.close();
  }

  /** Blocks some pairs one after the other, then unblocks them so: each is blocked for seconds, and then is not. */
  async #block(client: PairClient, number: number, over: AbortSignal): Promise<void> {
    const probes = this.#probes.filter((_, i) => i % this.#clients.length === number);
    for (let turn = 0; !over.aborted; turn++) {
      const probe = probes[turn % probes.length] as Probe;
      const [viewer, owner] = probe.pair;
      const action = Math.floor(turn / probes.length) % 2 === 0 ? "block" : "unblock";
      probe.blockedAt = undefined;
      const answer = await client.act(action, owner, viewer).catch(() => undefined);
      if (action === "block" && answer === "OK") {
        probe.blockedAt = performance.now();
        this.counts.blocks++;
      }
      await setTimeout(pauseMs);
    }
  }

  /** Asks for blocks that must be seen: those that were acknowledged longer ago than accepted, and stay. */
  async #check(consumer: Consumer, over: AbortSignal): Promise<void> {
    for (let turn = 0; !over.aborted; turn++) {
      const maxStalenessMs = accepted[turn % accepted.length] as number;
      const askedAt = performance.now();
      const due = this.#probes.filter(({ blockedAt = askedAt }) => askedAt - blockedAt > maxStalenessMs);
      const blockedAt = due.map((probe) => probe.blockedAt);
      const effects = await consumer.check(
        due.map(({ pair }) => pair),
        maxStalenessMs,
      );
      for (const [i, effect] of effects.entries()) {
        const probe = due[i] as Probe;
        // It was unblocked meanwhile.
        if (probe.blockedAt === undefined || probe.blockedAt !== blockedAt[i]) continue;
        if (effect === null) this.counts.refused++;
        else this.counts.answered++;
        if (effect !== "ALLOW") continue;
        const age = Math.round(askedAt - probe.blockedAt);
        this.#problems.add(
          "blocks that were missed",
          `${probe.pair[1]} blocked ${age} ms before a check that accepts ${maxStalenessMs} ms`,
        );
      }
      await setTimeout(pauseMs);
    }
  }
}
