import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { PrivacyReplica } from "../../../src/client/replica.ts";
import { residentMegabytes } from "../harness/machine.ts";
import { argument } from "../peers/serve.ts";

/** The blocks to make: by one user, of others, at an even rate. */
export interface DelayJob {
  readonly actor: string;
  readonly targets: readonly string[];
  readonly perSecond: number;
}

export interface ReplicaLoaded {
  readonly seconds: number;
  readonly edges: number;
  readonly changes: number;
  readonly residentMegabytes: number;
}

/** The milliseconds from each acknowledgement to the replica's DENY, ascending; 0 for one that was there before. */
export type Delays = readonly number[];

// A replica of a running service in a process of its own. Makes blocks through the service, and looks when it denies.
const [baseUrl, token] = [argument(0), argument(1)];
const transport = createGrpcTransport({ baseUrl });
const startedAt = performance.now();
const replica = new PrivacyReplica({ transport, token: () => token });
await replica.ready();
const { edges, changesTotal: changes } = replica.metrics;
const seconds = (performance.now() - startedAt) / 1_000;
const loaded: ReplicaLoaded = {
  seconds,
  edges,
  changes,
  residentMegabytes: residentMegabytes(process.pid),
};
process.send?.(loaded);

const [{ actor, targets, perSecond }] = (await once(process, "message")) as [DelayJob];
const service = createClient(PrivacyControlService, transport);
const headers = { authorization: `Bearer ${token}`, "x-acting-user": actor };
const effectOn = (viewer: string) =>
  replica.check({ viewer, owner: actor, interaction: "SEND_MESSAGE" }).effect;

async function delayOf(target: string): Promise<number> {
  if (effectOn(target) !== "ALLOW") throw new Error("the replica denies what nobody has blocked");
  await service.blockUser({ userId: target }, { headers });
  const acknowledgedAt = performance.now();
  if (effectOn(target) === "DENY") return 0;
  while (effectOn(target) !== "DENY") await pause(1);
  return performance.now() - acknowledgedAt;
}

const begunAt = performance.now();
const delays = await Promise.all(
  targets.map(async (target, index) => {
    await pause(Math.max(0, begunAt + (index * 1_000) / perSecond - performance.now()));
    return delayOf(target);
  }),
);
await replica.close();
process.send?.(delays.sort((a, b) => a - b));
process.disconnect?.();
