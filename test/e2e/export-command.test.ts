import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { embedded, postgresql } from "../support/backends.ts";
import { id } from "../support/import-content.ts";
import { runFile } from "../support/process.ts";
import { startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const created = (n: number) => `2024-05-01T12:00:00.${String(n).padStart(6, "0")}Z`;
const user = (n: number, more: object = {}) => ({ type: "user", id: id(n), userName: `user${n}`, ...more });
const edge = (type: string, from: number, to: number, more: object = {}) => ({
  ...{ type, ownerId: id(from), targetId: id(to) },
  createdAt: created(from * 100 + to),
  ...more,
});
const list = { userId: id(1), setting: "groups" };

/** Records of every kind, in the order of an export. */
const records = [
  user(1, {
    firstName: 'Ann "Annie"',
    lastName: "two\nlines\u2028",
    profilePictureUrls: ["https://x/a b", "é😀"],
  }),
  user(2, { userName: "\\ , ; | \t", isVerified: true }),
  user(3),
  user(4),
  edge("follow", 1, 2),
  edge("follow", 3, 2, { createdAt: "2024-05-01T12:00:00Z" }),
  edge("block", 1, 3),
  edge("block", 1, 4, { expiresAt: "2090-12-24T18:00:00.000001Z" }),
  edge("block", 2, 4, { createdAt: "0001-01-01T00:00:00Z", expiresAt: "9999-12-31T23:59:59.999999Z" }),
  edge("mute", 1, 2),
  edge("mute", 1, 3, { expiresAt: "2090-12-24T18:00:00.123456Z", scopes: ["content"] }),
  edge("mute", 2, 1, { scopes: ["content", "notifications"] }),
  edge("mute", 3, 1, { scopes: ["notifications"] }),
  { type: "setting", userId: id(1), setting: "groups", audience: "contact_blacklist" },
  { type: "setting", userId: id(1), setting: "last_seen", audience: "all" },
  { type: "setting", userId: id(2), setting: "profile_picture", audience: "none" },
  { type: "exception", ...list, exceptedId: id(2), createdAt: created(1) },
  { type: "exception", ...list, exceptedId: id(4), createdAt: created(999_999) },
];

const linesOf = (text: string) => text.split("\n").filter(Boolean);
const parsed = (text: string) => linesOf(text).map((line) => JSON.parse(line));

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`npm run export, on ${backend}`, function () {
    this.timeout(120_000);
    let folder: string;
    const services: TestService[] = [];
    before(async function () {
      folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
      for (let n = 0; n < 2; n++) services.push(await startService(await databaseUrl(this)));
      const file = join(folder, "given.ndjson");
      writeFileSync(file, records.map((record) => JSON.stringify(record)).join("\n"));
      expect((await command("import", services[0], file)).output).to.contain(`${records.length} stored`);
    });
    after(async () => {
      for (const service of services) await service.stop(1_000);
      rmSync(folder, { recursive: true, force: true });
    });

    async function command(name: "import" | "export", service: TestService | undefined, ...args: string[]) {
      const token = join(folder, `token-${randomUUID()}`);
      writeFileSync(token, (await service?.serviceToken()) ?? "");
      const port = ["--url", service?.internalUrl ?? "", "--token-file", token];
      // On a busy machine the database may be taken for unavailable for a moment.
      for (;;) {
        const script = runFile(`src/${name}.ts`, {}, [], [...args, ...port]);
        const outcome = { code: await script.exited, output: script.output() };
        if (outcome.code !== 1 || !outcome.output.includes("Temporarily unavailable")) return outcome;
      }
    }

    it("writes what an import into an empty database makes the same again, byte for byte", async () => {
      const [first, second] = services;
      const [one, two] = [join(folder, "one.ndjson"), join(folder, "two.ndjson")];
      const outcome = await command("export", first, one);
      expect(outcome.output).to.contain(`${records.length} records written to ${one}`);
      expect(outcome.code).to.equal(0);
      const defaults = { firstName: "", lastName: "", profilePictureUrls: [], isVerified: false };
      expect(parsed(readFileSync(one, "utf8"))).to.eql(
        records.map((record) => (record.type === "user" ? { ...defaults, ...record } : record)),
      );
      const imported = await command("import", second, one);
      expect(imported.output).to.contain(`${records.length} stored, 0 there already, skipped: none`);
      expect((await command("export", second, two)).code).to.equal(0);
      expect(readFileSync(two)).to.eql(readFileSync(one));
      const again = await command("import", second, two);
      expect(again.output).to.contain(`0 stored, ${records.length} there already, skipped: none`);
    });

    it("writes of a busy service what is imported without skipping a record", async function () {
      const busy = await startService(await databaseUrl(this));
      const empty = await startService(await databaseUrl(this));
      try {
        const options = await busy.acting();
        const many = Array.from({ length: 6_000 }, () => ({ id: randomUUID(), userName: "user" }));
        for (let from = 0; from < many.length; from += 1_000)
          await busy.graph.upsertUsers({ users: many.slice(from, from + 1_000) }, options);
        let joined = 0;
        let isOver = false;
        const joining = (async () => {
          while (!isOver) {
            const users = [0, 1].map(() => ({ id: randomUUID(), userName: "new" }));
            await busy.graph.upsertUsers({ users }, options);
            const [followerId, followeeId] = users.map((user) => user.id) as [string, string];
            await busy.graph.followUser({ followerId, followeeId }, options);
            await busy.graph.followUser({ followerId: many[0]?.id as string, followeeId }, options);
            joined += 1;
          }
        })();
        await until(() => joined > 2);
        const file = join(folder, "busy.ndjson");
        const before = joined;
        const exported = await command("export", busy, file).finally(() => {
          isOver = true;
        });
        await joining;
        expect(exported.code).to.equal(0);
        expect(joined).to.be.above(before);
        const imported = await command("import", empty, file);
        expect(imported.output).to.match(/ records: \d+ stored, \d+ there already, skipped: none\n/);
        expect(imported.code).to.equal(0);
      } finally {
        await busy.stop(1_000);
        await empty.stop(1_000);
      }
    });

    it("writes what one user made, and nothing that others made", async () => {
      const { code, output } = await command("export", services[0], "-", "--user", id(1).toUpperCase());
      expect(parsed(output.replace(/^ *\d+ %.*$/gm, ""))).to.have.deep.members([
        { ...user(1), isVerified: false, ...records[0] },
        ...records.slice(1).filter((record) => {
          const { ownerId, userId } = record as { ownerId?: string; userId?: string };
          return (ownerId ?? userId) === id(1);
        }),
      ]);
      expect(output).not.to.contain(`"ownerId":"${id(3)}"`);
      expect(code).to.equal(0);
    });

    it("leaves an existing file as it is, unless --force says otherwise", async () => {
      const path = join(folder, "there.ndjson");
      writeFileSync(path, "precious");
      const refused = await command("export", services[0], path);
      expect(refused.output).to.equal(`${path} exists: --force replaces it.\n`);
      expect([refused.code, readFileSync(path, "utf8")]).to.eql([1, "precious"]);
      expect((await command("export", services[0], path, "--force")).code).to.equal(0);
      expect(linesOf(readFileSync(path, "utf8"))).to.have.length(records.length);
      expect(statSync(path).mode & 0o077).to.equal(0);
      writeFileSync(`${path}.part`, "half");
      const [killed, other] = [join(folder, "killed.ndjson"), join(folder, "killed.ndjson.part")];
      writeFileSync(other, "half");
      const second = await command("export", services[0], killed);
      expect(second.output).to.match(
        /killed\.ndjson\.part exists: another run writes it, or one was killed\./,
      );
      expect([second.code, existsSync(killed)]).to.eql([1, false]);
      expect((await command("export", services[0], killed, "--force")).code).to.equal(0);
      expect(existsSync(other)).to.equal(false);
    });

    it("replaces nothing but a file, whatever --force says", async () => {
      const path = join(folder, "socket");
      const listening = createServer().listen(path);
      await once(listening, "listening");
      for (const [at, message] of [
        [path, `${path} is no regular file. For standard output write -.\n`],
        [folder, `${folder} is a directory, not a file.\n`],
      ] as const) {
        const refused = await command("export", services[0], at, "--force");
        expect(refused).to.eql({ code: 1, output: message });
        expect([statSync(at).isFile(), existsSync(`${at}.part`)]).to.eql([false, false]);
      }
      listening.close();
    });

    it("says in one line what is wrong, and leaves no file", async () => {
      const path = join(folder, "none.ndjson");
      const wrong: [string[], RegExp][] = [
        [[], /^The file to write is missing\.\n\nUsage:/],
        [[path, "b.ndjson"], /^One file is written at a time, not b\.ndjson too\.\n$/],
        [[path, "--user", "ann"], /^--user must be the UUID of a user, not ann\.\n$/],
        [[path, "--user", id(77)], /: User not found\n$/],
        [[join(folder, "no", "such.ndjson")], /such\.ndjson\.part does not exist\.\n$/],
        [[folder], / is a directory, not a file\.\n$/],
      ];
      for (const [args, message] of wrong) {
        const { code, output } = await command("export", services[0], ...args);
        expect(output)
          .to.match(message)
          .and.not.to.match(/\n\s+at /);
        expect(code).to.equal(1);
      }
      const [from] = services as [TestService];
      const token = join(folder, "without-scope");
      writeFileSync(token, await from.serviceToken("graph.write"));
      const script = runFile(
        "src/export.ts",
        {},
        [],
        [path, "--url", from.internalUrl, "--token-file", token],
      );
      expect(await script.exited).to.equal(1);
      expect(script.output()).to.match(/^The service refuses the call: .* An export needs graph\.read\.\n$/);
      expect([existsSync(path), existsSync(`${path}.part`)]).to.eql([false, false]);
    });
  });
}
