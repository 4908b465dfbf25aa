import { execFile, execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { isNeeded } from "../support/programs.ts";
import { findPython } from "../support/python.ts";
import { install } from "../support/registry.ts";
import { startService, type TestService } from "../support/service.ts";

const script = `
import { createClient, ConnectError } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { GraphService, PrivacyControlService } from "@nexgate/privacy-control-client";
import { ErrorInfoSchema } from "@nexgate/privacy-control-client/google/rpc/error_details_pb.js";

const { PUBLIC_URL, INTERNAL_URL, USER_TOKEN, SERVICE_TOKEN, ALICE, BOB } = process.env;
const bearer = (token) => ({ headers: { authorization: \`Bearer \${token}\` } });
const graph = createClient(GraphService, createGrpcTransport({ baseUrl: INTERNAL_URL }));
const users = [ALICE, BOB].map((id) => ({ id, userName: id }));
await graph.upsertUsers({ users }, bearer(SERVICE_TOKEN));
const privacy = createClient(PrivacyControlService, createConnectTransport({ baseUrl: PUBLIC_URL, httpVersion: "1.1" }));
await privacy.blockUser({ userId: BOB }, bearer(USER_TOKEN));
const again = await privacy.blockUser({ userId: BOB }, bearer(USER_TOKEN)).catch(ConnectError.from);
const { blocking } = await graph.getRelationship({ userId: ALICE, otherUserId: BOB }, bearer(SERVICE_TOKEN));
console.log(JSON.stringify({ blocking, reason: again.findDetails(ErrorInfoSchema)[0].reason }));
process.exit();
`;

const alice = "a11ce000-0000-4000-8000-000000000001";
const bob = "b0b00000-0000-4000-8000-000000000002";
const carol = "ca401000-0000-4000-8000-000000000003";

describe("npm run build:client", () => {
  let service: TestService;
  before(async function () {
    this.timeout(120_000);
    service = await startService();
    execFileSync("npm", ["run", "--silent", "build:client"], { stdio: "ignore" });
  });
  after(() => service?.stop(1_000));

  describe("the client package", () => {
    let folder: string;
    before(function () {
      this.timeout(120_000);
      const [tarball = ""] = globSync("dist/nexgate-privacy-control-client-*.tgz");
      folder = mkdtempSync(join(tmpdir(), "privacy-control-client-"));
      writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
      const { dependencies } = JSON.parse(
        execFileSync("npm", ["pkg", "get", "--json"], { encoding: "utf8" }),
      );
      const connect = ["@connectrpc/connect", "@connectrpc/connect-node"].map(
        (name) => `${name}@${dependencies[name]}`,
      );
      const flags = ["--prefer-offline", "--no-audit", "--no-fund"];
      install("npm", ["install", ...flags, resolve(tarball), ...connect], { cwd: folder });
    });
    after(() => {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    it("calls the service over gRPC and Connect from an empty folder", async () => {
      writeFileSync(join(folder, "call.js"), script);
      const { stdout } = await promisify(execFile)(process.execPath, ["call.js"], {
        cwd: folder,
        env: {
          ...process.env,
          PUBLIC_URL: service.publicUrl,
          INTERNAL_URL: service.internalUrl,
          USER_TOKEN: await service.userToken(alice),
          SERVICE_TOKEN: await service.serviceToken(),
          ALICE: alice,
          BOB: bob,
        },
      });
      expect(JSON.parse(stdout)).to.eql({ blocking: true, reason: "USER_ALREADY_BLOCKED" });
    });

    it("has declarations that a strict type check accepts", () => {
      writeFileSync(
        join(folder, "check.ts"),
        'import { type Block, GraphService, PrivacySetting } from "@nexgate/privacy-control-client";\n' +
          "export const setting: PrivacySetting = PrivacySetting.GROUPS;\n" +
          "export const name: string = GraphService.typeName;\n" +
          "export const id = (block: Block): string | undefined => block.user?.id;\n",
      );
      const options = [
        "--noEmit",
        "--strict",
        "--module",
        "nodenext",
        "--target",
        "es2024",
        "--types",
        "",
        "check.ts",
      ];
      const check = () =>
        execFileSync(resolve("node_modules/.bin/tsc"), options, { cwd: folder, stdio: "inherit" });
      expect(check).not.to.throw();
    });
  });

  describe("the archive of definitions", () => {
    let folder: string;
    before(() => {
      const unpacked = mkdtempSync(join(tmpdir(), "privacy-control-protos-"));
      execFileSync("tar", ["-xzf", "dist/privacy-control-protos.tar.gz", "-C", unpacked]);
      folder = join(unpacked, "privacy-control-protos");
    });
    after(() => rmSync(dirname(folder), { recursive: true, force: true }));

    it("has everything that it imports", () => {
      execFileSync(resolve("node_modules/.bin/buf"), ["build", "."], { cwd: folder, stdio: "inherit" });
      const files = globSync("**/*.proto", { cwd: folder });
      expect(files).to.include.members(["google/rpc/error_details.proto", "google/protobuf/timestamp.proto"]);
      const imported = files.flatMap((file) =>
        [...readFileSync(join(folder, file), "utf8").matchAll(/^import (?:public )?"(.*)";/gm)].map(
          ([, name]) => name,
        ),
      );
      expect(files).to.include.members(imported);
    });

    it("compiles with protoc, and its README's program calls the service", async function () {
      const python = isNeeded("python3-grpc-tools", await findPython("grpc_tools, grpc")) ?? this.skip();
      const readme = readFileSync(join(folder, "README.md"), "utf8");
      const [, command = ""] = /```sh\n(.*?)```/s.exec(readme) ?? [];
      const [, program = ""] = /```python\n(.*?)```/s.exec(readme) ?? [];
      const shell = command.replace("python3", python);
      await promisify(execFile)("sh", ["-ec", shell], { cwd: folder });

      const users = [alice, carol].map((id) => ({ id, userName: id }));
      await service.graph.upsertUsers({ users }, await service.acting());
      const check = async () => {
        const env = {
          ...process.env,
          PYTHONPATH: join(folder, "generated"),
          PRIVACY_CONTROL: new URL(service.internalUrl).host,
          TOKEN: await service.serviceToken(),
          VIEWER_ID: alice,
          OWNER_ID: carol,
        };
        return (await promisify(execFile)(python, ["-c", program], { env })).stdout.trim();
      };
      expect(await check()).to.equal("EFFECT_ALLOW");
      await service.rest("POST", `/api/v1/e-social/privacy-control/block/${alice}`, { as: carol });
      expect(await check()).to.equal("EFFECT_DENY");
    });
  });
});
