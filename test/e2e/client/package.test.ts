import { execFile, execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import {
  buildClient,
  folderWithClient,
  installNodes,
  type Node,
  readmeExamples,
} from "../../support/client-package.ts";
import { isNeeded } from "../../support/programs.ts";
import { startService, type TestService } from "../../support/service.ts";

const name = "@nexgate/privacy-control-client";
const libraries = ["@connectrpc/connect", "@connectrpc/connect-node", "@grpc/grpc-js", "@types/node"];
/** The last release for Node 20: npm chooses it there. */
const connectForNode20 = { "@connectrpc/connect": "2.1.2", "@connectrpc/connect-node": "2.1.2" };
/** The most bytes of the package, unpacked and without its dependencies. */
const maxBytes = 300_000;

/** What each example of the README ends with: an expression, and its value. */
const results: Readonly<Record<string, readonly [expression: string, value: unknown][]>> = {
  Connect: [
    ["isAllowed", true],
    ["block.user.id === otherUserId", true],
  ],
  "grpc-js": [
    ["isAllowed", true],
    ["kinds.has('userAdded')", true],
  ],
  Replica: [["[effect, ownerIds.length, decisions.length, answer.cause]", ["ALLOW", 2, 12, null]]],
  Errors: [["outcome", "muted"]],
  "Acting users": [["[consistencyToken.length, decision.effect]", [102, 1]]],
  "Test vectors": [["[viewer, facts, effect, cause]", ["signed_in", {}, "ALLOW", null]]],
  "Retries and keep-alive": [["made.user.id === otherUserId", true]],
};

const values = "token, userToken, userId, otherUserId";
const examples = readmeExamples().map(({ heading, code }, index, all) => ({
  file: `example-${index}`,
  code,
  result: results[heading]?.[all.slice(0, index).filter((earlier) => earlier.heading === heading).length],
}));

describe("the client package", function () {
  this.timeout(300_000);
  let service: TestService;
  let folder: string;
  let folderForNode20: string;
  before(async () => {
    service = await startService();
    folder = folderWithClient(libraries);
    folderForNode20 = folderWithClient(libraries, connectForNode20);
  });
  after(async () => {
    await service?.stop(1_000);
    for (const made of [folder, folderForNode20])
      if (made !== undefined) rmSync(made, { recursive: true, force: true });
  });

  /** Runs a module in a folder, which must end without help. */
  const run = async (node: string, cwd: string, file: string) =>
    (await promisify(execFile)(node, [file], { cwd, timeout: 200_000 })).stdout;

  /** Runs all examples of the README by a release of Node, each for two users of its own. */
  async function runExamples(node: string, cwd: string): Promise<unknown[]> {
    const pairs = examples.map(() => [randomUUID(), randomUUID()] as const);
    const users = pairs.flat().map((id) => ({ id, userName: id }));
    await service.graph.upsertUsers({ users }, await service.acting());
    const token = await service.serviceToken();
    return Promise.all(
      examples.map(async ({ file, code, result: [expression] = ["null"] }, index) => {
        const [userId, otherUserId] = pairs[index] ?? ["", ""];
        const given = { token, userToken: await service.userToken(userId), userId, otherUserId };
        const lines = [
          `const { ${values} } = ${JSON.stringify(given)};`,
          code
            .replaceAll("127.0.0.1:50051", new URL(service.internalUrl).host)
            .replaceAll("127.0.0.1:7001", new URL(service.publicUrl).host)
            // However slow the machine is.
            .replaceAll(/(?<=timeoutMs: |Date\.now\(\) \+ )500|(?<=maxStalenessMs: )5_000/g, "60_000"),
          `console.log(JSON.stringify(${expression}));`,
        ];
        const module = `${file}-${userId}.js`;
        writeFileSync(join(cwd, module), lines.join("\n"));
        return JSON.parse(await run(node, cwd, module));
      }),
    );
  }

  const expected = examples.map(({ result: [, value] = ["", null] }) => value);

  it("runs the examples of its README by the Node of this project", async () => {
    expect(examples).to.have.length.above(6);
    expect(await runExamples(process.execPath, folder)).to.eql(expected);
  });

  describe("on the releases of Node that it supports", () => {
    let nodes: readonly Node[];
    before(function () {
      nodes = isNeeded("Node for Linux", installNodes()) ?? this.skip();
    });

    for (const major of [20, 22, 24]) {
      it(`runs the examples of its README by Node ${major}`, async () => {
        const { path = "", version } = nodes.find((node) => node.version.startsWith(`${major}.`)) ?? {};
        const cwd = major === 20 ? folderForNode20 : folder;
        writeFileSync(join(cwd, "version.js"), "console.log(process.versions.node);");
        expect((await run(path, cwd, "version.js")).trim()).to.equal(version);
        expect(await runExamples(path, cwd)).to.eql(expected);
      });
    }
  });

  it("has declarations that a strict type check accepts, as it accepts the examples", () => {
    const declared = values.split(", ").map((value) => `declare const ${value}: string;`);
    for (const { file, code } of examples)
      writeFileSync(join(folder, `${file}.ts`), [code, ...declared, "export {};"].join("\n"));
    writeFileSync(
      join(folder, "entries.ts"),
      `import { type Block, GraphService, PrivacySetting } from "${name}";
import { ErrorInfoSchema } from "${name}/google/rpc/error_details_pb.js";
import { AccessClient, type GraphClient } from "${name}/grpc-js";
import { Effect, type CheckAccessResponse } from "${name}/nexgate/privacy/v1/access_service_pb.js";
import { PrivacyReplica } from "${name}/replica";
export const setting: PrivacySetting = PrivacySetting.GROUPS;
export const names: string[] = [GraphService.typeName, ErrorInfoSchema.typeName, AccessClient.serviceName];
export const id = (block: Block): string | undefined => block.user?.id;
export const isAllowed = (reply: CheckAccessResponse): boolean => reply.effect === Effect.ALLOW;
export const age = (replica: PrivacyReplica): number | undefined => replica.metrics.ageMs;
export const read = (graph: GraphClient, id: string) => graph.getUser({ userId: id }, (error, reply) => {
  // @ts-expect-error: there is no reply when there is an error.
  reply.user;
  if (error === null) reply.user?.userName;
});
// @ts-expect-error: no field of the request.
export const wrong = (graph: GraphClient) => graph.getUser({ id: "" }, () => {});
`,
    );
    const files = globSync("*.ts", { cwd: folder });
    expect(files).to.have.length(examples.length + 1);
    const flags = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--module", "nodenext"];
    const options = [...flags, "--target", "es2022", "--types", "node", ...files];
    const tsc = resolve("node_modules/.bin/tsc");
    const check = () => execFileSync(tsc, options, { cwd: folder, stdio: "inherit" });
    expect(check).not.to.throw();
  });

  it("needs the libraries of neither protocol for its stubs, errors and headers", async () => {
    const bare = folderWithClient([]);
    try {
      const script = `import { callFailure, ErrorReason } from "${name}";
        import { ErrorInfoSchema } from "${name}/google/rpc/error_details_pb.js";
        console.log(callFailure(new Error()), ErrorReason.INTERNAL, ErrorInfoSchema.typeName);`;
      const args = ["--input-type=module", "--eval", script];
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: bare });
      expect(stdout.trim()).to.equal("undefined 21 google.rpc.ErrorInfo");
      expect(globSync("node_modules/{@*/*,[!@.]*}", { cwd: bare })).to.have.members([
        "node_modules/@bufbuild/protobuf",
        `node_modules/${name}`,
      ]);
    } finally {
      rmSync(bare, { recursive: true, force: true });
    }
  });

  describe("its tarball", () => {
    let packed: { unpackedSize: number; files: { path: string }[] };
    before(() => {
      const args = ["pack", "--dry-run", "--json", buildClient().tarball];
      [packed] = JSON.parse(execFileSync("npm", args, { encoding: "utf8" }));
    });

    it(`has at most ${maxBytes} bytes`, () => {
      expect(packed.unpackedSize).to.be.at.most(maxBytes);
    });

    it("has what is used, and nothing else", () => {
      const kinds = packed.files.map(({ path }) =>
        path.replace(/^((?:gen|src)\/(?:nexgate|google|\w+)\/).*?(\.js|\.d\.ts)$/, "$1*$2"),
      );
      expect([...new Set(kinds)].sort()).to.eql([
        "LICENSE",
        "README.md",
        "decision-table.json",
        "gen/google/*.d.ts",
        "gen/google/*.js",
        "gen/nexgate/*.d.ts",
        "gen/nexgate/*.js",
        "package.json",
        "service-config.json",
        "src/client/*.d.ts",
        "src/client/*.js",
        "src/domain/*.d.ts",
        "src/domain/*.js",
        "src/graph/*.js",
      ]);
    });

    it("exports its entry points, the stubs by file, and nothing of how it is made", async () => {
      const manifest = JSON.parse(readFileSync("client/package.json", "utf8"));
      expect(Object.keys(manifest.exports)).to.eql([
        ".",
        "./grpc-js",
        "./replica",
        "./google/rpc/*",
        "./nexgate/privacy/v1/*",
        "./decision-table.json",
        "./service-config.json",
        "./package.json",
      ]);
      const paths = packed.files.map(({ path }) => path);
      const internal = paths.filter((path) => path.startsWith("src/") && path.endsWith(".js"));
      expect(internal).to.include.members(["src/domain/access.js", "src/graph/relationship-graph.js"]);
      const script = `const refused = [];
        for (const path of ${JSON.stringify(internal)})
          await import("${name}/" + path).catch(({ code }) => refused.push(code));
        console.log(JSON.stringify(refused));`;
      writeFileSync(join(folder, "internals.js"), script);
      const refused = JSON.parse(await run(process.execPath, folder, "internals.js"));
      expect(refused).to.eql(internal.map(() => "ERR_PACKAGE_PATH_NOT_EXPORTED"));
    });

    it("has the stubs of every definition, and exports them from its root", () => {
      const definitions = globSync("nexgate/privacy/v1/*.proto", { cwd: "proto" }).map((path) =>
        path.replace(/\.proto$/, "_pb"),
      );
      const index = readFileSync("src/client/index.ts", "utf8");
      for (const stub of definitions) {
        expect(packed.files.map(({ path }) => path)).to.include.members([
          `gen/${stub}.js`,
          `gen/${stub}.d.ts`,
        ]);
        expect(index).to.include(`export * from "../../gen/${stub}.ts";`);
      }
    });
  });

  it("has the service config that its README shows", () => {
    const [, shown = ""] = /```json\n(.*?)```/s.exec(readFileSync("client/README.md", "utf8")) ?? [];
    expect(shown).to.equal(readFileSync("client/service-config.json", "utf8"));
  });
});
