import { randomUUID } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { type BurstImport, type BurstProgress, edgeAt, importParts, messageEdges } from "./burst.ts";

// A thread of its own, so that what it does is not counted to the checks. Each message is a call of its own: its answer
// acknowledges the edges.
const { internalUrl, token, users, edges } = workerData as BurstImport;
const transport = createGrpcTransport({ baseUrl: internalUrl });
const graph = createClient(GraphService, transport);
const partEdges = edges / importParts;

async function importPart(part: number): Promise<void> {
  const importId = randomUUID();
  for (let first = 0; first < partEdges; first += messageEdges) {
    const count = Math.min(messageEdges, partEdges - first);
    const records = Array.from({ length: count }, (_, n) => {
      const [ownerId, targetId] = edgeAt(users, part * partEdges + first + n);
      return { record: { case: "block", value: { ownerId, targetId } } } as const;
    });
    const request = { importId, firstRecord: BigInt(first), records };
    await graph.importEdges(
      (async function* () {
        yield request;
      })(),
      { headers: { authorization: `Bearer ${token}` } },
    );
    parentPort?.postMessage({ part, acknowledged: first + count } satisfies BurstProgress);
  }
}

await Promise.all(Array.from({ length: importParts }, (_, part) => importPart(part)));
process.exit();
