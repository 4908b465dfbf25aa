import { execFile, execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { buildClient } from "../../support/client-package.ts";
import { isNeeded } from "../../support/programs.ts";
import { findPython } from "../../support/python.ts";
import { startService, type TestService } from "../../support/service.ts";

const alice = "a11ce000-0000-4000-8000-000000000001";
const carol = "ca401000-0000-4000-8000-000000000003";

describe("the archive of definitions", () => {
  let service: TestService;
  let folder: string;
  before(async function () {
    this.timeout(120_000);
    service = await startService();
    const unpacked = mkdtempSync(join(tmpdir(), "privacy-control-protos-"));
    execFileSync("tar", ["-xzf", buildClient().archive, "-C", unpacked]);
    folder = join(unpacked, "privacy-control-protos");
  });
  after(async () => {
    await service?.stop(1_000);
    if (folder !== undefined) rmSync(dirname(folder), { recursive: true, force: true });
  });

  it("has every definition of the service, and everything that they import", () => {
    execFileSync(resolve("node_modules/.bin/buf"), ["build", "."], { cwd: folder, stdio: "inherit" });
    const files = globSync("**/*.proto", { cwd: folder });
    expect(files).to.include.members(globSync("nexgate/**/*.proto", { cwd: "proto" }));
    expect(files).to.include.members(["google/rpc/error_details.proto", "google/protobuf/timestamp.proto"]);
    const imported = files.flatMap((file) =>
      [...readFileSync(join(folder, file), "utf8").matchAll(/^import (?:public )?"(.*)";/gm)].map(
        ([, name]) => name,
      ),
    );
    expect(files).to.include.members(imported);
  });

  it("has the test vectors, the service config and the licence", () => {
    for (const [packed, source] of [
      ["decision-table.json", "docs/decision-table.json"],
      ["decision-table.schema.json", "docs/decision-table.schema.json"],
      ["service-config.json", "client/service-config.json"],
      ["LICENSE", "LICENSE"],
    ] as const)
      expect(readFileSync(join(folder, packed), "utf8")).to.equal(readFileSync(source, "utf8"));
  });

  describe("with protoc for Python", () => {
    let python: string;
    let program: string;
    before(async function () {
      this.timeout(60_000);
      python = isNeeded("python3-grpc-tools", await findPython("grpc_tools, grpc")) ?? this.skip();
      const readme = readFileSync(join(folder, "README.md"), "utf8");
      const [, section = ""] = /^## Python\n(.*?)(?=^## |$(?![\s\S]))/ms.exec(readme) ?? [];
      const [, command = ""] = /```sh\n(.*?)```/s.exec(section) ?? [];
      [, program = ""] = /```python\n(.*?)```/s.exec(section) ?? [];
      await promisify(execFile)("sh", ["-ec", command.replace("python3", python)], { cwd: folder });
      const users = [alice, carol].map((id) => ({ id, userName: id }));
      await service.graph.upsertUsers({ users }, await service.acting());
    });

    /** What the program of the README prints. */
    const check = async (variables: Record<string, string> = {}) => {
      const env = {
        ...process.env,
        PYTHONPATH: join(folder, "generated"),
        PRIVACY_CONTROL: new URL(service.internalUrl).host,
        TOKEN: await service.serviceToken(),
        VIEWER_ID: alice,
        OWNER_ID: carol,
        ...variables,
      };
      const patient = program.replace("timeout=1", "timeout=60");
      return (await promisify(execFile)(python, ["-c", patient], { cwd: folder, env })).stdout.trim();
    };

    it("has a program that asks for a decision", async () => {
      expect(await check()).to.equal("EFFECT_ALLOW");
      await service.rest("POST", `/api/v1/e-social/privacy-control/block/${alice}`, { as: carol });
      expect(await check()).to.equal("EFFECT_DENY");
    });

    it("has a program that reads the details of errors", async () => {
      expect(await check({ TOKEN: await service.serviceToken("graph.read") })).to.equal(
        "PERMISSION_DENIED\nSCOPE_MISSING",
      );
      expect(await check({ VIEWER_ID: "nobody" })).to.equal(
        "INVALID_ARGUMENT\nINVALID_REQUEST\nviewer_id: must be a valid UUID",
      );
    });
  });
});
