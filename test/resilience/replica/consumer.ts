import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { PrivacyReplica, ReplicaStaleError } from "../../../src/client/replica.ts";
import { decisionTable, type Interaction } from "../../../src/domain/access.ts";
import type { Guarded, Question, Reply, Target } from "./consumer-process.ts";

// The process of a service that has a replica. It answers its parent, and looks all the time at pairs that are always blocked.

const target: Target = JSON.parse(process.env.TARGET ?? "");
const guardMs = 1;
const anyAge = { maxStalenessMs: Number.MAX_VALUE };
const interactions = Object.keys(decisionTable) as Interaction[];

const pings = { pingIntervalMs: 300, pingTimeoutMs: 300 };
const replica = new PrivacyReplica({
  transport:
    target.protocol === "grpc"
      ? createGrpcTransport({ baseUrl: target.url, ...pings })
      : createConnectTransport({ baseUrl: target.url, httpVersion: "2", ...pings }),
  token: () => target.token,
  heartbeatMs: target.heartbeatMs,
});

const guarded: Guarded = { answers: 0, allowed: [] };
const guard = setInterval(() => {
  for (const [viewer, owner] of target.guarded) {
    const effect = effectOf(viewer, owner, Number.MAX_VALUE);
    if (effect === undefined) continue;
    guarded.answers++;
    if (effect === "ALLOW" && guarded.allowed.length < 5)
      guarded.allowed.push(`${owner}, ${JSON.stringify(replica.metrics)}`);
  }
}, guardMs);

function effectOf(viewer: string, owner: string, maxStalenessMs: number): string | undefined {
  try {
    return replica.check({ viewer, owner, interaction: "FOLLOW" }, { maxStalenessMs }).effect;
  } catch (failure) {
    if (failure instanceof ReplicaStaleError) return undefined;
    throw failure;
  }
}

async function answer(question: Question): Promise<unknown> {
  switch (question.kind) {
    case "ready":
      return replica.ready();
    case "check":
      return question.pairs.map(
        ([viewer, owner]) => effectOf(viewer, owner, question.maxStalenessMs) ?? null,
      );
    case "decide": {
      await replica.waitFor("", AbortSignal.timeout(question.withinMs));
      return question.pairs.flatMap(([viewer, owner]) =>
        interactions.map((interaction) => {
          const { effect, cause } = replica.check({ viewer, owner, interaction }, anyAge);
          return `${effect} ${cause ?? "UNSPECIFIED"}`;
        }),
      );
    }
    case "state":
      return { guarded, metrics: replica.metrics };
    case "close":
      clearInterval(guard);
      await replica.close();
      process.disconnect?.();
      return;
  }
}

process.on("message", async ({ id, question }: { id: number; question: Question }) => {
  const reply: Reply = await answer(question).then(
    (value) => ({ id, value }),
    (failure) => ({ id, failure: String(failure) }),
  );
  if (process.connected) process.send?.(reply);
});
