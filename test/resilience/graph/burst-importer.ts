import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  GraphService,
  type ImportEdgesRequestSchema,
} from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { type BurstImport, type BurstProgress, edgeAt, importParts, messageEdges } from "./burst.ts";

// A thread of its own, so that what it does is not counted to the checks. Each message is a call of its own: its answer
// acknowledges the edges.
const { internalUrl, token, users, edges } = workerData as BurstImport;
const transport = createGrpcTransport({ baseUrl: internalUrl });
const graph = createClient(GraphService, transport);
const maxFailures = 100;
const retryMs = 100;
const partEdges = edges / importParts;

/** Sends a message. Returns whether it is known to be stored. */
async function send(request: MessageInitShape<typeof ImportEdgesRequestSchema>): Promise<boolean> {
  const messages = (async function* () {
    yield request;
  })();
  try {
    await graph.importEdges(messages, { headers: { authorization: `Bearer ${token}` } });
    return true;
  } catch (failure) {
    if (ConnectError.from(failure).code !== Code.Unavailable) throw failure;
    await setTimeout(retryMs);
    return false;
  }
}

async function importPart(part: number): Promise<void> {
  const importId = randomUUID();
  for (let first = 0; first < partEdges; first += messageEdges) {
    const count = Math.min(messageEdges, partEdges - first);
    const records = Array.from({ length: count }, (_, n) => {
      const [ownerId, targetId] = edgeAt(users, part * partEdges + first + n);
      return { record: { case: "block", value: { ownerId, targetId } } } as const;
    });
    const request = { importId, firstRecord: BigInt(first), records };
    for (let failures = 0; !(await send(request)); failures++)
      if (failures === maxFailures) throw new Error("an import makes no progress");
    parentPort?.postMessage({ part, acknowledged: first + count } satisfies BurstProgress);
  }
}

await Promise.all(Array.from({ length: importParts }, (_, part) => importPart(part)));
process.exit();
