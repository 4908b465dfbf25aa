import { execFile, execFileSync } from "node:child_process";
import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
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

describe("the client package", () => {
  let folder: string;
  let service: TestService;
  before(async function () {
    this.timeout(120_000);
    service = await startService();
    execFileSync("npm", ["run", "--silent", "build:client"], { stdio: "ignore" });
    const [tarball = ""] = globSync("dist/nexgate-privacy-control-client-*.tgz");
    folder = mkdtempSync(join(tmpdir(), "privacy-control-client-"));
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
    const { dependencies } = JSON.parse(execFileSync("npm", ["pkg", "get", "--json"], { encoding: "utf8" }));
    const connect = ["@connectrpc/connect", "@connectrpc/connect-node"].map(
      (name) => `${name}@${dependencies[name]}`,
    );
    const flags = ["--prefer-offline", "--no-audit", "--no-fund"];
    install("npm", ["install", ...flags, resolve(tarball), ...connect], { cwd: folder });
  });
  after(async () => {
    await service?.stop(1_000);
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  it("calls the service over gRPC and Connect from an empty folder", async () => {
    const alice = "a11ce000-0000-4000-8000-000000000001";
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
        BOB: "b0b00000-0000-4000-8000-000000000002",
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
    execFileSync(resolve("node_modules/.bin/tsc"), options, { cwd: folder, stdio: "inherit" });
  });
});
