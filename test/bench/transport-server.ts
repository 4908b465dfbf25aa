import { Server, ServerCredentials } from "@grpc/grpc-js";
import { pino } from "pino";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { CallPipeline } from "../../src/call/pipeline.ts";
import { service } from "../../src/call/service.ts";
import { openInternalListener } from "../../src/http/listeners.ts";
import { renderFailure } from "../../src/rest/envelopes.ts";
import { definitionOf } from "../support/grpc-client.ts";

const starts: Record<string, () => Promise<number>> = {
  "the fast path": () => startOurs(true),
  "Connect's adapter": () => startOurs(false),
  "@grpc/grpc-js": startGrpcJs,
};

async function startOurs(fastPath: boolean): Promise<number> {
  const log = pino({ level: "warn" });
  const services = [service(PrivacyControlService, { getPrivacySettings: () => ({}) })];
  const calls = new CallPipeline({ services, authenticate: async () => {}, log });
  return (await openInternalListener({ host: "127.0.0.1", port: 0, calls, renderFailure, log, fastPath }))
    .port;
}

function startGrpcJs(): Promise<number> {
  const server = new Server();
  const { getPrivacySettings } = definitionOf(PrivacyControlService);
  if (getPrivacySettings === undefined) throw new Error("no such method");
  const reply = { $typeName: PrivacyControlService.method.getPrivacySettings.output.typeName };
  server.addService(
    { getPrivacySettings },
    {
      getPrivacySettings: (_call: unknown, answer: (error: null, value: unknown) => void) =>
        answer(null, reply),
    },
  );
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
    error ? reject(error) : resolve(port),
  );
  return promise;
}

const start = starts[process.argv[2] ?? ""];
if (start === undefined) throw new Error(`one of: ${Object.keys(starts).join(", ")}`);
process.stdout.write(`${await start()}\n`);
// The bench asks for the processor time, which tells more than the rate on a machine with other work.
process.on("message", () => process.send?.(process.cpuUsage()));
