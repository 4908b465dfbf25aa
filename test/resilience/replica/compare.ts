import { setTimeout } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  AccessService,
  CauseSchema,
  EffectSchema,
  Interaction,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { decisionTable } from "../../../src/domain/access.ts";
import type { Instance } from "../support/instance.ts";
import type { Problems } from "../support/report.ts";
import type { Pair } from "./consumer-process.ts";
import type { Stage } from "./replica-run.ts";

interface Comparison {
  readonly problems: Problems;
  /** What happened before. */
  readonly after: string;
  /** How long a replica may take to catch up, in milliseconds. */
  readonly withinMs: number;
}

const retryMs = 100;

const interactions = Object.keys(decisionTable).map((name) => Interaction[name as keyof typeof Interaction]);

/** Compares all decisions about some users of each replica with those of the service, while nothing is written. */
export async function compareAll(
  { instances, consumers }: Stage,
  ids: readonly string[],
  { problems, after, withinMs }: Comparison,
): Promise<void> {
  const [instance] = instances as [Instance];
  const pairs = ids.flatMap((viewer) => ids.map((owner): Pair => [viewer, owner]));
  const endsAt = performance.now() + 2 * withinMs;
  for (;;) {
    try {
      const before = await decide(instance, pairs);
      const decided = await Promise.all(consumers.map((consumer) => consumer.decide(pairs, withinMs)));
      // A user may still be being erased.
      const isQuiet = String(await decide(instance, pairs)) === String(before);
      if (!isQuiet) continue;
      for (const [i, decisions] of decided.entries())
        for (const [at, decision] of decisions.entries())
          if (decision !== before[at])
            problems.add(
              "decisions that differ",
              `after ${after}, of consumer ${i}: ${decision}, not ${before[at]}`,
            );
      return;
    } catch (failure) {
      const isOver = performance.now() > endsAt || String(failure).includes("TimeoutError");
      if (isOver || consumers.some(({ ended }) => ended !== undefined)) {
        problems.add("replicas that do not catch up", `after ${after}: ${failure}`);
        return;
      }
      await setTimeout(retryMs);
    }
  }
}

async function decide(instance: Instance, pairs: readonly Pair[]): Promise<string[]> {
  const access = createClient(AccessService, createGrpcTransport({ baseUrl: instance.internalUrl }));
  const checks = pairs.flatMap(([viewerId, ownerId]) =>
    interactions.map((interaction) => ({
      viewer: { case: "viewerId", value: viewerId } as const,
      ownerId,
      interaction,
    })),
  );
  const options = { headers: { authorization: `Bearer ${instance.token}` }, timeoutMs: 5_000 };
  const { results } = await access.batchCheckAccess({ checks }, options);
  return results.map(
    ({ effect, cause }) => `${EffectSchema.value[effect]?.localName} ${CauseSchema.value[cause]?.localName}`,
  );
}
