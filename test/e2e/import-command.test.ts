import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { readSigningConfig } from "../../src/config/config.ts";
import {
  configuredIssuer,
  serviceToken,
  type TokenIssuer,
  userToken,
} from "../../src/development/token-issuer.ts";
import type { UserId } from "../../src/domain/users.ts";
import { inspectFile } from "../../src/importer/import-file.ts";
import { id } from "../support/import-content.ts";
import { type RunningScript, runFile, runScript } from "../support/process.ts";

const lines = (records: readonly (object | string)[]) =>
  records.map((record) => (typeof record === "string" ? record : JSON.stringify(record))).join("\n");
const user = (n: number, more: object = {}) => ({ type: "user", id: id(n), userName: `user${n}`, ...more });
const edge = (type: string, from: number, to: number, createdAt?: unknown) => ({
  type,
  ownerId: id(from),
  targetId: id(to),
  ...(createdAt === undefined ? {} : { createdAt }),
});

describe("npm run import", function () {
  this.timeout(120_000);
  let folder: string;
  let environment: Record<string, string>;
  let service: RunningScript;
  let url: string;
  let publicUrl: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
    environment = { DATA_DIR: folder, HTTP_PORT: "0", GRPC_PORT: "0", ADMIN_PORT: "0", LOG_LEVEL: "error" };
    service = runScript("start", environment);
    const text = await service.sees(/npm run token -- --service/);
    url = /gRPC for services\s+(http:\S+)/.exec(text)?.[1] ?? "";
    publicUrl = /API page\s+(http:\S+)\/docs/.exec(text)?.[1] ?? "";
  });
  after(async () => {
    await service?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Outcome {
    readonly code: number | null;
    readonly output: string;
  }

  function write(name: string, content: string | Uint8Array): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  async function command(args: string[], more: Record<string, string> = {}): Promise<Outcome> {
    const script = runFile("src/import.ts", { ...environment, ...more }, [], args);
    return { code: await script.exited, output: script.output() };
  }

  const run = (name: string, content: string | Uint8Array, ...args: string[]) =>
    command([write(name, content), "--url", url, ...args]);

  const issuer = () => configuredIssuer(readSigningConfig({ DATA_DIR: folder }), 1) as TokenIssuer;
  const scopes = "graph.read graph.write";

  async function graph(service = "tests") {
    const call = { headers: { authorization: `Bearer ${await serviceToken(service, scopes, issuer())}` } };
    return { client: createClient(GraphService, createGrpcTransport({ baseUrl: url })), call };
  }

  async function storedUser(n: number) {
    const { client, call } = await graph();
    return (await client.getUser({ userId: id(n) }, call)).user;
  }

  /** The time of each block of a user, as the list of blocks tells it, by the user who is blocked. */
  async function blockTimes(n: number): Promise<Record<string, string>> {
    const answer = await fetch(`${publicUrl}/api/v1/e-social/privacy-control/blocked`, {
      headers: { authorization: await userToken(id(n) as UserId, issuer()) },
    });
    const { data } = (await answer.json()) as { data: { user: { id: string }; createdAt: string }[] };
    return Object.fromEntries(data.map((block) => [block.user.id, block.createdAt]));
  }

  it("imports users whose records need more than one message, and edges in any order", async () => {
    const pictures = Array.from({ length: 16 }, (_, n) => `https://cdn.example/${n}/${"x".repeat(2_000)}`);
    const users = Array.from({ length: 60 }, (_, n) => user(n, { profilePictureUrls: pictures }));
    const follows = users.slice(1).map((_, n) => edge("follow", 0, n + 1));
    const { code, output } = await run("graph.ndjson", lines([...users, ...follows]));
    expect([code, output]).to.eql([0, output]);
    expect(output).to.contain("119 records: 119 stored, 0 there already, skipped: none");
  });

  it("imports a file twice without storing anything twice", async () => {
    const records = lines([user(900)]);
    expect((await run("again.ndjson", records)).output).to.contain("1 records: 1 stored");
    expect((await run("again.ndjson", records)).output).to.contain("1 records: 0 stored, 1 there already");
    expect((await run("copy.ndjson", records)).output).to.contain("0 stored, 1 there already");
  });

  it("reports each skipped record with its line number and the reason, for CSV and JSON", async () => {
    await run("users.ndjson", lines([801, 802].map((n) => user(n))));
    const csv = [
      "type,ownerId,targetId,createdAt",
      `block,${id(801)},${id(802)},2024-05-01T12:00:00Z`,
      `mute,${id(801)},${id(801)},`,
      "",
      `mute,${id(801)},${id(899)},`,
      `mute,${id(801)},${id(802)},yesterday`,
      "what,is,this,row",
      "mute",
      `mute,${id(801)},none,`,
    ];
    const { code, output } = await run("edges.csv", csv.join("\n"));
    expect(output).to.contain(
      "7 records: 1 stored, 0 there already, skipped: 4 MALFORMED, 1 SELF, 1 UNKNOWN_USER",
    );
    expect(output.split("\n").filter((line) => line.startsWith("  line "))).to.eql([
      "  line 3: SELF: ownerId and targetId are the same user",
      "  line 5: UNKNOWN_USER: targetId is no known user",
      '  line 6: MALFORMED: createdAt is "yesterday", expected a time of RFC 3339, or seconds or milliseconds since 1970',
      '  line 7: MALFORMED: type is "what", expected user, follow, block, mute, setting or exception',
      "  line 8: MALFORMED: the row has 1 columns, the header 4",
      "  line 9: MALFORMED: targetId must be a valid UUID",
    ]);
    expect(code).to.equal(2);
    const across = await run("across.ndjson", lines([edge("follow", 802, 801), "{"]));
    expect(across.output)
      .to.contain("line 1: FOLLOW_ACROSS_BLOCK: ownerId or targetId blocks the other")
      .and.to.contain('line 2: MALFORMED: the line is no JSON object: "{"');
  });

  it("exits with 0 for skipped records with --allow-skipped, and names all of them in a file", async () => {
    const wrong = Array.from({ length: 12_000 }, () => edge("mute", 1, 1));
    const report = join(folder, "skipped.txt");
    const args = ["--allow-skipped", "--skipped-file", report];
    const { code, output } = await run("wrong.ndjson", lines(wrong), ...args);
    expect(code).to.equal(0);
    expect(output).to.contain("skipped: 12000 SELF").and.to.contain("  and 11980 more: --skipped-file");
    const named = readFileSync(report, "utf8").trim().split("\n");
    expect([named.length, named.at(-1)]).to.eql([
      12_000,
      "line 12000: SELF: ownerId and targetId are the same user",
    ]);
  });

  it("stores a stray quote and the text around it", async () => {
    const csv = [
      "type,id,userName,firstName,lastName,isVerified,ownerId,targetId,createdAt",
      `user,${id(701)},cat,Cat "Kitty",C,true,,,`,
      `user,${id(702)},dan,"Dan,D,false,,,`,
      `user,${id(703)},eve,Eve,E,false,,,`,
      `block,,,,,,${id(701)},${id(703)},2024-05-01T12:00:00Z`,
    ];
    const { code, output } = await run("quote.csv", csv.join("\n"));
    expect(output)
      .to.contain("4 records: 3 stored")
      .and.to.contain("line 3: MALFORMED: column 4 has a quote");
    expect(code).to.equal(2);
    expect((await storedUser(701))?.firstName).to.equal('Cat "Kitty"');
  });

  it("keeps isVerified of users whose records omit it", async () => {
    const verified = [711, 712, 713, 714].map((n) => user(n, { isVerified: true, firstName: "Ann" }));
    await run("verified.ndjson", lines(verified));
    const csv = [
      "type,id,userName,isVerified",
      `user,${id(711)},a,t`,
      `user,${id(712)},b,`,
      `user,${id(713)},c,maybe`,
    ];
    const { code, output } = await run("badges.csv", [...csv, `user,${id(714)},d,FALSE`].join("\n"));
    expect(output).to.contain('line 4: MALFORMED: isVerified is "maybe", expected true or false');
    expect(code).to.equal(2);
    const users = await Promise.all([711, 712, 713, 714].map(storedUser));
    expect(users.map((found) => [found?.isVerified, found?.userName, found?.firstName])).to.eql([
      [true, "a", "Ann"],
      [true, "b", "Ann"],
      [true, "user713", "Ann"],
      [false, "d", "Ann"],
    ]);
  });

  it("stores times exactly, and invents none", async () => {
    await run("people.ndjson", lines(Array.from({ length: 9 }, (_, n) => user(720 + n))));
    const times = [
      1_714_564_800_000,
      "1714564800",
      "2024-05-01 14:00:00+02",
      "2024-05-01T12:00:00",
      "5",
      "01/05/2024",
    ];
    const blocks = times.map((time, n) => edge("block", 720, 721 + n, time));
    const { code, output } = await run("times.ndjson", lines(blocks), "--allow-skipped");
    expect(output).to.contain("6 records: 3 stored").and.to.contain("skipped: 3 MALFORMED");
    expect(code).to.equal(0);
    const noon = "2024-05-01T12:00:00Z";
    const stored = Object.fromEntries([721, 722, 723].map((n) => [id(n), noon]));
    expect(await blockTimes(720)).to.eql(stored);
    const assuming = await run("times.ndjson", lines(blocks), "--allow-skipped", "--assume-utc");
    expect(assuming.output).to.contain("1 stored, 3 there already");
    expect(await blockTimes(720)).to.eql({ ...stored, [id(724)]: noon });
  });

  it("continues an interrupted import of the same content, and of no other", async () => {
    const content = lines([user(731), user(732), edge("block", 731, 732), edge("mute", 731, 732)]);
    const broken = write("broken.ndjson", content);
    const { id: importId } = await inspectFile(broken, { assumeUtc: false, ignore: [] });
    const { client, call } = await graph("import");
    const half = [user(731), user(732)].map(({ type: _, ...value }) => ({
      record: { case: "user" as const, value },
    }));
    await client.importEdges(only({ importId, records: half }), call);
    // The same path, size and time, and another content: none of its records is skipped as already stored.
    const { atime, mtime, size } = statSync(broken);
    const other = write("broken.ndjson", content.replaceAll(id(732), id(733)));
    utimesSync(other, atime, mtime);
    expect(statSync(other).size).to.equal(size);
    expect((await command([other, "--url", url])).output).to.contain("4 records: 3 stored, 1 there already");
    // The content at another place: its stored records are not sent again.
    const moved = await run("moved.ndjson", content);
    expect(moved.output).to.contain("4 records: 4 stored, 0 there already");
    const { client: reader, call: reading } = await graph();
    for (const n of [732, 733]) {
      const pair = { userId: id(731), otherUserId: id(n) };
      expect((await reader.getRelationship(pair, reading)).blocking, `of ${n}`).to.equal(true);
    }
  });

  it("reads standard input", async () => {
    const script = runFile("src/import.ts", environment, [], ["-", "--url", url]);
    script.child.stdin?.end(lines([user(741)]));
    expect(await script.exited).to.equal(0);
    expect(script.output()).to.contain("1 records: 1 stored");
  });

  it("rejects an unknown format, stores nothing, and says what it expects", async () => {
    const refused: [string, string | Uint8Array, string][] = [
      ["array.json", `[${lines([user(751)])}]`, "a JSON array: expected NDJSON"],
      ["nohead.csv", `user,${id(751)},u\n`, "Line 1 is no header"],
      [
        "latin1.ndjson",
        Buffer.from(lines([user(751, { firstName: "José" })]), "latin1"),
        "Line 1 is not UTF-8",
      ],
    ];
    const outcomes = await Promise.all(refused.map(([name, content]) => run(name, content)));
    for (const [n, [name, , message]] of refused.entries()) {
      const { code, output } = outcomes[n] as Outcome;
      expect(output)
        .to.contain(message)
        .and.not.to.match(/\n\s+at /);
      expect(code, name).to.equal(1);
    }
    expect(await storedUser(751).catch(({ rawMessage }) => rawMessage)).to.equal("User not found");
  });

  it("needs no configuration of the service with --url and --token-file", async () => {
    const token = write("token", `${await serviceToken("import", scopes, issuer())}\n`);
    const file = write("one.ndjson", lines([user(761)]));
    const environments = [{ NODE_ENV: "production" }, { JWT_SECRET: "short", HTTP_PORT: "none", HOST: "" }];
    for (const more of environments) {
      const { code, output } = await command([file, "--url", url, "--token-file", token], {
        ...more,
        DATA_DIR: "",
      });
      expect(output).to.contain("1 records:");
      expect(code).to.equal(0);
    }
    const { code, output } = await command([file, "--url", url], { NODE_ENV: "production" });
    expect(output).to.contain("JWT_SECRET or JWKS_URL is missing").and.to.contain("--token-file");
    expect(output).not.to.contain("DATABASE_URL");
    expect(code).to.equal(1);
  });

  it("creates no key in a directory without one, since the service would reject its token", async () => {
    const elsewhere = join(folder, "elsewhere");
    const file = write("keyless.ndjson", lines([user(950)]));
    const { code, output } = await command([file, "--url", url], { DATA_DIR: elsewhere });
    expect(output).to.match(/^There is no signing key in .*jwt-secret: .*\n.*--token-file\.\n$/);
    expect([code, existsSync(elsewhere)]).to.eql([1, false]);
  });

  it("explains each failure in one line", async () => {
    const one = () => write("one.ndjson", lines([user(771)]));
    const wrong: Record<string, () => Promise<[string[], RegExp]>> = {
      "with no file": async () => [[], /^The file to import is missing\.\n\nUsage:/],
      "with two files": async () => [
        ["a.csv", "b.csv"],
        /^One file is imported at a time, not b\.csv too\.\n$/,
      ],
      "with a file that is not there": async () => [
        [join(folder, "none.ndjson"), "--url", url],
        /^\/.*\/none\.ndjson does not exist\.\n$/,
      ],
      "with a directory": async () => [[folder, "--url", url], /is a directory: expected a file\.\n$/],
      "with a token that is not there": async () => [
        [one(), "--token-file", join(folder, "none")],
        /^\/.*\/none does not exist\.\n$/,
      ],
      "with a file that holds no token": async () => [
        [one(), "--token-file", write("prose", "no token")],
        /prose must hold a token, and nothing else\.\n$/,
      ],
      "with a token that is refused": async () => [
        [one(), "--url", url, "--token-file", write("refused", "no-token")],
        /^The service refuses the token: Malformed token\.\n$/,
      ],
      "with an unknown option": async () => [
        [one(), "--ur", url],
        /^Unknown option '--ur'\. Known options: --url, /,
      ],
      "with an option without its value": async () => [
        [one(), "--url"],
        /^Option '--url <value>' argument missing/,
      ],
      "with a URL that is none": async () => [
        [one(), "--url", "localhost"],
        /^--url must be an http:\/\/ or https:/,
      ],
      "where nothing listens": async () => {
        const server = createServer().listen(0, "127.0.0.1");
        await once(server, "listening");
        const { port } = server.address() as { port: number };
        server.close();
        return [
          [one(), "--url", `http://127.0.0.1:${port}`],
          /^Nothing listens at http:.*is the service running/,
        ];
      },
      "at the public port": async () => [[one(), "--url", publicUrl], /does not answer as the internal port/],
      "of TLS on a plaintext port": async () => [
        [one(), "--url", url.replace("http", "https")],
        /^https:.* speaks no TLS: try http:\/\/\. \(ERR_SSL_WRONG_VERSION_NUMBER\)\n$/,
      ],
    };
    const outcomes = Object.entries(wrong).map(async ([name, arrange]) => {
      const [args, message] = await arrange();
      return { name, message, ...(await command(args)) };
    });
    for (const { name, message, code, output } of await Promise.all(outcomes)) {
      expect(output, name)
        .to.match(message)
        .and.not.to.match(/\n\s+at /);
      expect(code, name).to.equal(1);
    }
  });

  async function* only<T>(message: T): AsyncIterable<T> {
    yield message;
  }
});
