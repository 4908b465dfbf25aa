import type pg from "pg";
import { AccessService } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { checkCalls, mixedChecks } from "../data/questions.ts";
import type { Size } from "../data/sizes.ts";
import { type Comparison, measure } from "../harness/comparison.ts";
import type { Server } from "../harness/processes.ts";
import type { Setting } from "../setting.ts";
import { grpcContenders } from "./contenders.ts";

const checkCount = 24_000;
const sessionsPerWorker = 8;
const streams = 8;

/**
 * Makes what measures how many checks a server answers for a second of its processor, with 64 in flight for each of
 * its workers: checks share statements within a worker.
 */
export async function workerRow(
  setting: Pick<Setting, "folder" | "serviceToken">,
  client: pg.Client,
  size: Size,
): Promise<(server: Server, workers: number, ms: number) => Promise<number>> {
  const contender = grpcContenders(setting);
  const calls = checkCalls(await mixedChecks(client, size.users, checkCount));
  const check = { path: `/${AccessService.typeName}/CheckAccess`, calls };
  return async (server, workers, ms) => {
    const inFlight = { sessions: sessionsPerWorker * workers, streams };
    const comparison: Comparison = {
      id: "workers",
      title: "CheckAccess, 64 in flight for each worker",
      figure: "rate",
      unit: { name: "calls", perCall: 1 },
      ours: contender("ours", server, check, inFlight),
      peers: [],
    };
    return 1e6 / (await measure(comparison, comparison.ours, ms)).cpuMicros;
  };
}
