import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { type RunningScript, runScript } from "../support/process.ts";

const id = (n: number) => `00000000-0000-4000-8000-${n.toString().padStart(12, "0")}`;
const lines = (records: readonly (object | string)[]) =>
  records.map((record) => (typeof record === "string" ? record : JSON.stringify(record))).join("\n");

describe("npm run import", function () {
  this.timeout(60_000);
  let folder: string;
  let environment: Record<string, string>;
  let service: RunningScript;
  let url: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
    environment = { DATA_DIR: folder, HTTP_PORT: "0", GRPC_PORT: "0", ADMIN_PORT: "0", LOG_LEVEL: "error" };
    service = runScript("start", environment);
    url = /gRPC for services\s+(http:\S+)/.exec(await service.sees(/gRPC for services/))?.[1] ?? "";
  });
  after(async () => {
    await service?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function run(name: string, content: string): Promise<{ code: number | null; output: string }> {
    const path = join(folder, name);
    writeFileSync(path, content);
    const script = runScript("import", environment, [path, "--url", url]);
    return { code: await script.exited, output: script.output() };
  }

  it("imports users whose records need more than one message, and edges in any order", async () => {
    const pictures = Array.from({ length: 16 }, (_, n) => `https://cdn.example/${n}/${"x".repeat(2_000)}`);
    const users = Array.from({ length: 60 }, (_, n) => ({
      type: "user",
      id: id(n),
      userName: `user${n}`,
      profilePictureUrls: pictures,
    }));
    const follows = users.slice(1).map((user) => ({ type: "follow", ownerId: id(0), targetId: user.id }));
    const { code, output } = await run("graph.ndjson", lines([...users, ...follows]));
    expect([code, output]).to.eql([0, output]);
    expect(output).to.contain("119 records: 119 stored, 0 there already, skipped: none");
  });

  it("imports a file again, and stores nothing twice", async () => {
    const records = lines([{ type: "user", id: id(900), userName: "someone" }]);
    expect((await run("again.ndjson", records)).output).to.contain("1 records: 1 stored");
    const again = runScript("import", environment, [join(folder, "again.ndjson"), "--url", url]);
    expect(await again.exited).to.equal(0);
    expect(again.output()).to.contain("1 records: 0 stored, 1 there already");
    expect((await run("copy.ndjson", records)).output).to.contain("0 stored, 1 there already");
  });

  it("reports what it skips by number and reason, from JSON and from CSV", async () => {
    await run("users.ndjson", lines([1, 2].map((n) => ({ type: "user", id: id(800 + n), userName: "u" }))));
    const csv = [
      "type,ownerId,targetId,createdAt",
      `block,${id(801)},${id(802)},2024-05-01T12:00:00Z`,
      `mute,${id(801)},${id(801)},`,
      `mute,${id(801)},${id(899)},`,
      `mute,${id(801)},${id(802)},yesterday`,
      "what,is,this",
      "mute",
    ];
    const { output } = await run("edges.csv", csv.join("\n"));
    expect(output).to.contain(
      "6 records: 1 stored, 0 there already, skipped: 3 MALFORMED, 1 SELF, 1 UNKNOWN_USER",
    );
    expect(output).to.contain("record 1: SELF").and.to.contain("record 2: UNKNOWN_USER");
    const across = await run(
      "across.ndjson",
      lines([{ type: "follow", ownerId: id(802), targetId: id(801) }, "{"]),
    );
    expect(across.output).to.contain("1 FOLLOW_ACROSS_BLOCK").and.to.contain("record 1: MALFORMED");
  });

  it("says how it is used, and what is wrong with a file that is not there", async () => {
    const bare = runScript("import", environment);
    expect(await bare.exited).to.equal(1);
    expect(bare.output()).to.contain("Usage:");
    const missing = runScript("import", environment, [join(folder, "none.ndjson"), "--url", url]);
    expect(await missing.exited).to.equal(1);
    expect(missing.output()).to.match(/^ENOENT: .*\n$/);
  });
});
