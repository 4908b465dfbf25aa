import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Contender } from "../harness/comparison.ts";
import { grpcLoad } from "../harness/loads.ts";
import type { Server } from "../harness/processes.ts";
import { type Call, packCalls } from "../load/exchanges.ts";
import type { Setting } from "../setting.ts";

/** Calls of one method. */
interface Calls {
  readonly path: string;
  readonly calls: readonly Call[];
}

interface Shape {
  readonly sessions: number;
  /** Calls at once on each session. */
  readonly streams: number;
}

/** Time at the start of a load in which connections open. */
const rampMs = 300;

/** Makes contenders that answer gRPC calls. */
export function grpcContenders({ folder, serviceToken }: Pick<Setting, "folder" | "serviceToken">) {
  return (name: string, server: Server, { path, calls }: Calls, shape: Shape): Contender => {
    const callsFile = join(folder, `calls-${randomUUID()}`);
    writeFileSync(callsFile, packCalls(calls));
    return {
      name,
      server,
      run: (ms) =>
        grpcLoad({
          ...shape,
          url: `http://127.0.0.1:${server.ports.grpc}`,
          path,
          headers: { authorization: `Bearer ${serviceToken}` },
          callsFile,
          once: false,
          rampMs,
          ms,
        }),
    };
  };
}
