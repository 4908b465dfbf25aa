import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { newDataDirectory } from "../support/data-directory.ts";

describe("OpenTelemetry's SDK", function () {
  this.timeout(60_000);

  let dataDir: string;
  before(async () => {
    dataDir = await newDataDirectory();
  });
  after(() => rmSync(dataDir, { recursive: true, force: true }));

  const listModules = fileURLToPath(new URL("../support/list-modules.ts", import.meta.url));

  /** Starts and stops the service, and returns the packages, and the files of src, that it loaded. */
  async function loadedModules(environment: Record<string, string>): Promise<string[]> {
    const child = spawn(process.execPath, ["--import", listModules, "src/main.ts"], {
      env: {
        DATA_DIR: dataDir,
        JWT_SECRET: "a secret of more than thirty-two bytes",
        HTTP_PORT: "0",
        GRPC_PORT: "0",
        ADMIN_PORT: "0",
        ...environment,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
      if (output.includes('"listening"')) child.kill();
    });
    await once(child, "close");
    const [, list = ""] = /^LOADED (.*)$/m.exec(output) ?? [];
    return JSON.parse(list);
  }
  /** What makes or sends spans. The metrics client loads OpenTelemetry's API, which does nothing without an SDK. */
  const tracing = (name: string) =>
    /^@opentelemetry\/|^src\/tracing\//.test(name) && name !== "@opentelemetry/api";

  it("is loaded where there is an endpoint, and this test would see it", async () => {
    const loaded = await loadedModules({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" });
    expect(loaded).to.include.members(["@opentelemetry/sdk-trace", "src/tracing/tracing.ts"]);
  });

  it("is not loaded when tracing is off", async () => {
    const loaded = await loadedModules({ OTEL_SERVICE_NAME: "privacy" });
    expect(loaded).to.include.members(["@prometheus-io/client", "src/metrics/metrics.ts"]);
    expect(loaded.filter(tracing)).to.eql([]);
  });

  it("is not loaded where it is switched off", async () => {
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_SDK_DISABLED: "true" };
    expect((await loadedModules(environment)).filter(tracing)).to.eql([]);
  });
});
