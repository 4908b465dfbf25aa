import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { runScript } from "../support/process.ts";

const bulkPath = "/-/npm/v1/security/advisories/bulk";

/** Runs the audit against a registry that answers so, and returns its exit code and output. */
async function audit(answer: RequestListener) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const run = runScript("audit", {
    npm_config_registry: `http://127.0.0.1:${port}/`,
    npm_config_fetch_retries: "0",
  });
  const code = await run.exited;
  server.closeAllConnections();
  server.close();
  return { code, output: run.output() };
}

const advisories =
  (body: object): RequestListener =>
  ({ url }, response) => {
    response.statusCode = url === bulkPath ? 200 : 404;
    response.end(JSON.stringify(url === bulkPath ? body : {}));
  };

describe("npm run audit", function () {
  this.timeout(60_000);

  it("passes when the registry knows of no weakness", async () => {
    const { code, output } = await audit(advisories({}));
    expect(output).to.equal("Audited: no known weakness.\n");
    expect(code).to.equal(0);
  });

  it("fails when it knows of one", async () => {
    const advisory = {
      id: 1,
      url: "https://advisories.example/1",
      title: "A weakness",
      severity: "high",
      vulnerable_versions: "*",
    };
    const { code, output } = await audit(advisories({ jose: [advisory] }));
    expect(output).to.contain("A weakness");
    expect(code).to.equal(1);
  });

  it("says so when the registry offers no audit", async () => {
    const { code, output } = await audit((_, response) => response.writeHead(405).end());
    expect(output).to.equal("Not audited: the registry offers no audit (405).\n");
    expect(code).to.equal(0);
  });

  it("fails when the registry fails", async () => {
    const { code } = await audit((_, response) => response.writeHead(500).end());
    expect(code).to.equal(1);
  });
});
