import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { lengthPrefixed } from "../../support/frames.ts";
import { emptyPath } from "../empty-service.ts";
import type { Comparison, Contender } from "../harness/comparison.ts";
import { repeatLoad } from "../harness/loads.ts";
import type { Server } from "../harness/processes.ts";
import type { Setting } from "../setting.ts";

/** A method without work: what the way of a call costs. */
export function emptyRows({ folder, servers, serviceToken }: Setting): Comparison[] {
  const bodyFile = join(folder, "empty-message");
  writeFileSync(bodyFile, lengthPrefixed(new Uint8Array()));
  const contender = (name: string, server: Server, further: Record<string, string> = {}): Contender => ({
    name,
    server,
    run: (ms) =>
      repeatLoad({
        url: `http://127.0.0.1:${server.ports.grpc}${emptyPath}`,
        bodyFile,
        headers: { authorization: `Bearer ${serviceToken}`, ...further },
        sessions: 4,
        streams: 16,
        ms,
      }),
  });
  return [
    {
      id: "empty",
      title: "an empty method, 64 in flight",
      figure: "rate",
      unit: { name: "calls", perCall: 1 },
      ours: contender("ours", servers.ours),
      peers: [
        { contender: contender("empty grpc-js handler", servers.grpcJsEmpty), goal: { atLeast: 1 } },
        { contender: contender("empty connect-node handler", servers.connectNodeEmpty) },
        // The fast path leaves every call that names a compression to Connect, even if nothing is compressed.
        {
          contender: contender("ours without the fast path", servers.ours, { "grpc-encoding": "gzip" }),
          goal: { atLeast: 1.02 },
        },
      ],
    },
  ];
}
