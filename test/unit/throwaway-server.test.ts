import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { canStartServer } from "../support/throwaway-server.ts";

const ordinaryPath = [dirname(process.execPath), "/usr/bin", "/bin"];

describe("tests on PostgreSQL", function () {
  this.timeout(60_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-programs-"));
    // The account that the server runs as must get in.
    chmodSync(folder, 0o755);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs a test that takes a database, with these directories as PATH. */
  async function run(path: readonly string[]): Promise<{ code: number; output: string }> {
    const { promise, resolve } = Promise.withResolvers<{ code: number; output: string }>();
    const { CI: _, TEST_DATABASE_URL: __, ...environment } = process.env;
    const args = ["node_modules/mocha/bin/mocha.js", "test/support/take-database.ts"];
    execFile(
      process.execPath,
      args,
      { env: { ...environment, PATH: path.join(":") } },
      (failure, stdout, stderr) =>
        resolve({ code: failure === null ? 0 : Number(failure.code), output: stdout + stderr }),
    );
    return promise;
  }

  it("run without the directories of system programs on the PATH", async function () {
    if (!canStartServer()) return this.skip();
    const { code, output } = await run(ordinaryPath);
    expect(output)
      .to.match(/1 passing/)
      .and.not.match(/pending/);
    expect(code).to.equal(0);
  });

  it("fail when PostgreSQL is installed but cannot be started", async () => {
    writeFileSync(join(folder, "initdb"), "#!/bin/sh\necho there is no room >&2\nexit 1\n", { mode: 0o755 });
    writeFileSync(join(folder, "postgres"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const { code, output } = await run([folder, ...ordinaryPath]);
    expect(output).to.contain("the server did not start: there is no room");
    expect(code).to.equal(1);
  });
});
