import { getHeapStatistics } from "node:v8";
import { pino } from "pino";
import { PrivacyControlService } from "../../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { CallPipeline } from "../../../../src/call/pipeline.ts";
import { service } from "../../../../src/call/service.ts";
import { startYoung } from "../../../../src/composition/young-heap.ts";
import { openInternalListener } from "../../../../src/http/internal-listener.ts";

// Run as a process of its own, by `--expose-gc`: a listener with one method, which answers each message by how many bytes
// are used that are not collected often.
const [how = ""] = process.argv.slice(2);
if (how === "young") startYoung();
const log = pino({ level: "silent" });
const services = [service(PrivacyControlService, { getPrivacySettings: () => ({}) })];
const calls = new CallPipeline({ services, gate: async () => {}, log });
const { url } = await openInternalListener({ host: "127.0.0.1", port: 0, calls, log, fastPath: true });
process.on("message", () => {
  // What has survived one collection of the young is still young.
  for (let i = 0; i < 2; i++) globalThis.gc?.({ type: "minor" });
  process.send?.(getHeapStatistics().used_heap_size);
});
process.once("disconnect", () => process.exit());
process.send?.(url);
