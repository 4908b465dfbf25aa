import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { type RunningScript, runFile } from "../support/process.ts";
import { freePort } from "../support/throwaway-server.ts";

describe("the start", function () {
  this.timeout(60_000);
  let dataDir: string;
  const running: RunningScript[] = [];
  beforeEach(() => {
    dataDir = join(mkdtempSync(join(tmpdir(), "privacy-control-")), "data");
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((script) => script.stop("SIGKILL")));
    rmSync(join(dataDir, ".."), { recursive: true, force: true });
  });

  const start = (environment: Record<string, string>) => {
    const ports = { HTTP_PORT: "0", GRPC_PORT: "0", ADMIN_PORT: "0" };
    const script = runFile("src/main.ts", { DATA_DIR: dataDir, LOG_LEVEL: "warn", ...ports, ...environment });
    running.push(script);
    return script;
  };
  const failureOf = async (environment: Record<string, string>) => {
    const script = start(environment);
    expect(await script.exited, script.output()).to.equal(1);
    expect(script.output()).not.to.match(/\n\s+at /);
    return script.output().trim();
  };

  for (const [variable, host] of [
    ["HTTP_PORT", "HOST"],
    ["GRPC_PORT", "HOST"],
    ["ADMIN_PORT", "ADMIN_HOST"],
  ] as const) {
    it(`names ${variable} when its port is in use, before anything is made`, async () => {
      const port = await freePort();
      const other = createServer().listen(port, "127.0.0.1");
      await once(other, "listening");
      try {
        const message = await failureOf({ [variable]: String(port), [host]: "127.0.0.1" });
        expect(message).to.match(new RegExp(`^${variable}: port ${port} of 127\\.0\\.0\\.1 is in use`));
        expect(existsSync(dataDir)).to.equal(false);
      } finally {
        other.close();
      }
    });
  }

  it("names HOST and ADMIN_HOST when they are not of this machine", async () => {
    const message = await failureOf({ HOST: "203.0.113.77", ADMIN_HOST: "203.0.113.78" });
    expect(message.split("\n").map((line) => line.replace(/\..*/, ""))).to.eql([
      "HOST: 203",
      "ADMIN_HOST: 203",
    ]);
    expect(existsSync(dataDir)).to.equal(false);
  });

  it("names DATA_DIR when it is not a directory, or the database in it is damaged", async () => {
    writeFileSync(dataDir, "");
    expect(await failureOf({})).to.match(/^DATA_DIR: /);
    rmSync(dataDir);
    mkdirSync(join(dataDir, "database"), { recursive: true });
    writeFileSync(join(dataDir, "database", "PG_VERSION"), "9");
    expect(await failureOf({})).to.match(/^DATA_DIR: the embedded database in .* cannot be opened/);
  });

  it("logs that it creates the database, and ignores SIGHUP without TLS", async () => {
    const script = start({ LOG_LEVEL: "info", JWT_SECRET: "x".repeat(32) });
    const [line = "{}"] = /\{.*"listening".*\}/.exec(await script.sees(/"listening"/)) ?? [];
    expect(script.output()).to.match(/"msg":"making the embedded database/);
    script.child.kill("SIGHUP");
    const { status } = await fetch(`${JSON.parse(line).publicUrl}/healthz`);
    expect(status).to.equal(200);
    expect(await script.stop()).to.equal(0);
  });
});
