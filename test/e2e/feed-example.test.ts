import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { serviceToken, userToken } from "../../src/development/token-issuer.ts";
import type { UserId } from "../../src/domain/users.ts";
import { newDataDirectory } from "../support/data-directory.ts";
import { type RunningScript, runFile, runScript } from "../support/process.ts";
import { until } from "../support/until.ts";

const issuer = {
  secret: "the secret that signs tokens in this test",
  issuer: "privacy-control",
  audience: "privacy-control",
  serviceAudience: "privacy-control-internal",
  hours: 1,
};
const maxStalenessMs = 1_500;

// biome-ignore lint/suspicious/noExplicitAny: what the tests assert
type Json = any;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Json;
}

describe("npm run example", function () {
  this.timeout(240_000);
  let example: RunningScript;
  let text: string;
  before(async () => {
    example = runScript("example", {});
    text = await example.sees(/Ctrl-C ends both/);
  });
  after(() => example?.stop("SIGKILL"));

  it("shows a block taking effect, and then serves", async () => {
    const lines = text.split("\n");
    const reads = lines.filter((line) => line.includes("reads the feed"));
    const [breakfast, morning] = ['"What I had for breakfast" by oversharer', '"Good morning!" by alice'];
    expect(reads.map((line) => line.replace(/\d+ ms/, "N ms"))).to.eql([
      `oversharer reads the feed: ${breakfast}, ${morning}`,
      `alice reads the feed:      ${breakfast}, ${morning}`,
      `alice reads the feed:      ${morning}, N ms later, by the token of the block`,
      `oversharer reads the feed: ${breakfast}, N ms later, without a token`,
    ]);
    const [, token] = /TOKEN=(\S+)/.exec(text) ?? [];
    const [, url = ""] = /(http:\S+\/feed)/.exec(text) ?? [];
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    expect(((await response.json()) as Json).posts).to.have.length(1);
  });

  it("ends both programs by one signal", async () => {
    expect(await example.stop("SIGTERM")).to.equal(0);
    for (const [url] of text.matchAll(/http:\/\/127\.0\.0\.1:\d+/g)) {
      const failure = await fetch(url).catch((reason: unknown) => reason);
      expect(failure, url).to.be.instanceOf(TypeError);
    }
  });

  describe("starts a feed that", () => {
    const running: RunningScript[] = [];
    let dataDir: string;
    let ports = { HTTP_PORT: "0", GRPC_PORT: "0", ADMIN_PORT: "0" };
    let privacy: RunningScript;
    let publicUrl: string;
    let internalUrl: string;
    let feedUrl: string;

    async function startPrivacyControl(): Promise<void> {
      privacy = runFile("src/main.ts", { ...ports, DATA_DIR: dataDir, JWT_SECRET: issuer.secret });
      running.push(privacy);
      const started =
        /^\{.*"msg":"listening".*$/m.exec(await privacy.sees(/"msg":"listening".*\n/))?.[0] ?? "";
      ({ publicUrl, internalUrl } = JSON.parse(started));
      ports = { ...ports, HTTP_PORT: new URL(publicUrl).port, GRPC_PORT: new URL(internalUrl).port };
    }

    async function startFeed(keys: Record<string, string>): Promise<string> {
      const feed = runFile("examples/feed/src/main.ts", {
        PRIVACY_CONTROL_URL: internalUrl,
        PRIVACY_CONTROL_TOKEN: await serviceToken("feed", "access.read changes.read", issuer),
        FEED_MAX_STALENESS_MS: String(maxStalenessMs),
        ...keys,
      });
      running.push(feed);
      return /"url":"([^"]+)"/.exec(await feed.sees(/"message":"listening".*\n/))?.[1] ?? "";
    }

    before(async () => {
      dataDir = await newDataDirectory();
      await startPrivacyControl();
      feedUrl = await startFeed({ JWT_SECRET: issuer.secret });
      await until(async () => (await fetch(`${feedUrl}/readyz`)).ok);
    });
    after(async () => {
      await Promise.all(running.map((script) => script.stop("SIGKILL")));
      if (dataDir !== undefined) rmSync(dataDir, { recursive: true, force: true });
    });

    async function call(
      url: string,
      user: string | undefined,
      method = "GET",
      body?: unknown,
    ): Promise<Answer> {
      const token = user === undefined ? undefined : await userToken(user as UserId, issuer);
      const response = await fetch(url, {
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, headers: response.headers, json: await response.json() };
    }

    /** As `call`, but again while the feed cannot tell: on a busy machine decisions may be too old for a moment. */
    async function ask(...request: Parameters<typeof call>): Promise<Answer> {
      let answer: Answer | undefined;
      await until(async () => {
        answer = await call(...request);
        return answer.status !== 503;
      });
      return answer ?? expect.fail("no answer");
    }

    const graph = () => createClient(GraphService, createGrpcTransport({ baseUrl: internalUrl }));
    const accounts = async () => ({
      headers: { authorization: `Bearer ${await serviceToken("accounts", "graph.write", issuer)}` },
    });

    /** Blocks or mutes, and returns the consistency token. */
    async function restrict(act: "block" | "mute", by: string, to: string, terms?: object): Promise<string> {
      const url = `${publicUrl}/api/v1/e-social/privacy-control/${act}/${to}`;
      const { status, headers } = await call(url, by, "POST", terms);
      expect(status).to.be.below(300);
      return headers.get("consistency-token") ?? expect.fail("no token");
    }

    /** New users, who are known to the feed when `after` is given to it. */
    async function newUsers(count: number): Promise<{ ids: string[]; after: string }> {
      const ids = Array.from({ length: count }, () => randomUUID() as string);
      let after = "";
      await graph().upsertUsers(
        { users: ids.map((id) => ({ id, userName: id })) },
        {
          ...(await accounts()),
          onHeader: (headers) => {
            after = headers.get("consistency-token") ?? "";
          },
        },
      );
      return { ids, after };
    }

    const publish = async (author: string, text = "a post"): Promise<number> => {
      const { status, json } = await call(`${feedUrl}/posts`, author, "POST", { text });
      expect(status).to.equal(201);
      return json.id;
    };
    const comment = (post: number, author: string) =>
      ask(`${feedUrl}/posts/${post}/comments`, author, "POST", { text: "a comment" });
    /** The authors that a viewer sees, the newest post first. */
    async function authors(viewer: string | undefined, after?: string): Promise<string[]> {
      const query = after === undefined ? "" : `?after=${encodeURIComponent(after)}`;
      const { status, json } = await ask(`${feedUrl}/feed${query}`, viewer);
      expect(status, JSON.stringify(json)).to.equal(200);
      return json.posts.map(({ author }: { author: string }) => author);
    }

    it("hides the posts and comments of those who block, are blocked or are muted", async () => {
      const { ids } = await newUsers(6);
      const [reader, blocked, blocker, muted, quiet, stranger] = ids as [
        string,
        string,
        string,
        string,
        string,
        string,
      ];
      const unknown = randomUUID();
      const everybody = [unknown, blocked, blocker, muted, quiet, stranger];
      for (const author of everybody) await publish(author);
      await restrict("block", reader, blocked);
      await restrict("block", blocker, reader);
      await restrict("mute", reader, quiet, { scopes: ["notifications"] });
      const after = await restrict("mute", reader, muted, { scopes: ["content"] });
      const seenBy = async (viewer: string | undefined) =>
        (await authors(viewer, after)).filter((author) => everybody.includes(author));
      expect(await seenBy(reader)).to.eql([stranger, quiet]);
      expect(await seenBy(undefined)).to.eql([stranger, quiet, muted, blocker, blocked]);

      const post = await publish(stranger);
      for (const author of [blocked, blocker, muted, quiet])
        expect((await comment(post, author)).status).to.equal(201);
      const { json } = await ask(`${feedUrl}/feed?limit=1`, reader);
      expect(json.posts[0].comments.map(({ author }: { author: string }) => author)).to.eql([quiet]);
      expect(JSON.stringify(json)).to.not.match(/BLOCK|MUT|cause/i);
    });

    it("shows a block in the next request of its author, and soon to others", async () => {
      const { ids, after } = await newUsers(2);
      const [author, reader] = ids as [string, string];
      await publish(author);
      expect(await authors(reader, after)).to.include(author);
      const token = await restrict("block", author, reader);
      await publish(reader);
      expect(await authors(author, token)).to.not.include(reader);
      await until(async () => !(await authors(reader)).includes(author));
    });

    it("shows again what a mute hid, when that ends", async () => {
      const { ids } = await newUsers(2);
      const [author, reader] = ids as [string, string];
      await publish(author);
      // By this machine's clock, which is that of the embedded database. Only an import takes an end that is so near.
      const endsAt = Date.now() + 3_000;
      const value = { ownerId: reader, targetId: author, expiresAt: timestampFromMs(endsAt) };
      const records = [{ record: { case: "mute" as const, value } }];
      const chunks = async function* () {
        yield { importId: randomUUID(), firstRecord: 0n, records };
      };
      const { progress } = await graph().importEdges(chunks(), await accounts());
      expect(progress?.stored).to.equal(1n);
      await until(async () => !(await authors(reader)).includes(author) || Date.now() >= endsAt);
      await until(async () => (await authors(reader)).includes(author));
      expect(Date.now()).to.be.at.least(endsAt);
    });

    it("answers a comment across a block as one on a post that does not exist", async () => {
      const { ids } = await newUsers(2);
      const [author, reader] = ids as [string, string];
      const post = await publish(author);
      await authors(reader, await restrict("block", author, reader));
      const answers = [await comment(post, reader), await comment(999_999_999, reader)];
      expect(answers[0]?.status).to.equal(404);
      expect(answers[0]?.json).to.eql(answers[1]?.json);
    });

    it("reads on where a page ended", async () => {
      const { ids, after } = await newUsers(2);
      const [author, reader] = ids as [string, string];
      for (const text of ["1", "2", "3"]) await publish(author, text);
      const texts: string[] = [];
      let before = "";
      while (texts.length < 3) {
        const { json } = await ask(
          `${feedUrl}/feed?limit=2&after=${encodeURIComponent(after)}${before}`,
          reader,
        );
        texts.push(...json.posts.map(({ text }: { text: string }) => text));
        before = `&before=${json.next}`;
      }
      expect(texts.slice(0, 3)).to.eql(["3", "2", "1"]);
    });

    it("refuses what it does not understand, and whom it does not know", async () => {
      const user = randomUUID();
      const request = async (path: string, init: RequestInit = {}) => {
        const response = await fetch(feedUrl + path, init);
        return [response.status, ((await response.json()) as Json).error?.reason];
      };
      const json = {
        "content-type": "application/json",
        authorization: `Bearer ${await userToken(user as UserId, issuer)}`,
      };
      const post = (body: string, headers: Record<string, string> = json) =>
        request("/posts", { method: "POST", body, headers });
      const forged = await userToken(user as UserId, {
        ...issuer,
        secret: "another secret of the same length",
      });
      const service = await serviceToken("feed", "access.read", issuer);
      for (const authorization of ["Bearer", "Basic YTpi", `Bearer ${forged}`, `Bearer ${service}`])
        expect(await request("/feed", { headers: { authorization } })).to.eql([401, "UNAUTHENTICATED"]);
      expect(await post("{}", { "content-type": "application/json" })).to.eql([401, "UNAUTHENTICATED"]);
      expect(await request("/feed?after=nonsense")).to.eql([400, "INVALID_AFTER"]);
      for (const query of ["limit=0", "limit=101", "limit=x", "before=-1"])
        expect(await request(`/feed?${query}`)).to.eql([400, "INVALID_REQUEST"]);
      for (const body of [
        "",
        "{",
        "null",
        "{}",
        '{"text":" "}',
        '{"text":1}',
        JSON.stringify({ text: "x".repeat(1_001) }),
      ])
        expect(await post(body)).to.eql([400, "INVALID_REQUEST"]);
      expect(await post(JSON.stringify({ text: "x".repeat(20_000) }))).to.eql([413, "TOO_LARGE"]);
      expect(await post("text=x", { ...json, "content-type": "text/plain" })).to.eql([415, "UNSUPPORTED"]);
      expect(await request("/feed", { method: "POST" })).to.eql([405, "METHOD_NOT_ALLOWED"]);
      for (const path of ["/posts/1/comment", "//"]) expect(await request(path)).to.eql([404, "NOT_FOUND"]);
    });

    it("verifies tokens by published keys, and answers 503 while these cannot be had", async () => {
      const { publicKey, privateKey } = await generateKeyPair("ES256");
      const keys = JSON.stringify({ keys: [await exportJWK(publicKey)] });
      const server = createServer((_, response) => response.end(keys)).listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const token = await new SignJWT()
        .setProtectedHeader({ alg: "ES256" })
        .setIssuer(issuer.issuer)
        .setSubject(randomUUID())
        .setAudience(issuer.audience)
        .setExpirationTime("1 hour")
        .sign(privateKey);
      const post = async (url: string, authorization: string) => {
        const headers = { authorization, "content-type": "application/json" };
        return (await fetch(`${url}/posts`, { method: "POST", headers, body: '{"text":"signed"}' })).status;
      };
      const url = await startFeed({ JWKS_URL: `http://127.0.0.1:${port}/keys` });
      expect(await post(url, `Bearer ${token}`)).to.equal(201);
      const bySecret = await userToken(randomUUID() as UserId, issuer);
      expect(await post(url, `Bearer ${bySecret}`)).to.equal(401);
      server.close();
      server.closeAllConnections();
      const without = await startFeed({ JWKS_URL: `http://127.0.0.1:${port}/keys` });
      expect(await post(without, `Bearer ${token}`)).to.equal(503);
    });

    it("shows nothing while it cannot know what to hide, and recovers", async () => {
      const { ids, after } = await newUsers(2);
      const [author, reader] = ids as [string, string];
      await publish(author);
      expect(await authors(reader, after)).to.include(author);
      await privacy.stop("SIGKILL");

      let refused: Answer | undefined;
      await until(async () => {
        const answer = await call(`${feedUrl}/feed`, reader);
        refused = answer;
        if (answer.status === 200) expect(answer.json.ageMs).to.be.at.most(maxStalenessMs);
        return answer.status !== 200;
      });
      expect([refused?.status, refused?.headers.get("retry-after")]).to.eql([503, "1"]);
      expect(refused?.json).to.eql({
        error: { reason: "UNAVAILABLE", message: "who may see what is not known at present" },
      });
      expect((await fetch(`${feedUrl}/readyz`)).status).to.equal(503);

      await startPrivacyControl();
      await until(async () => (await fetch(`${feedUrl}/readyz`)).ok);
      expect(await authors(reader)).to.include(author);
      expect(await authors(reader, await restrict("block", reader, author))).to.not.include(author);
    });
  });
});
