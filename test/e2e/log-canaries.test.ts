import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { AccessService, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { ChangeService } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { serviceToken, userToken } from "../../src/development/token-issuer.ts";
import type { UserId } from "../../src/domain/users.ts";
import { postgresUrl } from "../support/cluster.ts";
import { lengthPrefixed } from "../support/frames.ts";
import { type FreezingProxy, startFreezingProxy } from "../support/freezing-proxy.ts";
import { type RunningScript, runScript } from "../support/process.ts";
import { exchange, openSession } from "../support/raw-http.ts";

/** Everything that must not be in the log. */
const canaries = new Set<string>();

/** A text that is found again wherever it comes out. */
function canary(): string {
  const text = `canary-${randomBytes(16).toString("hex")}`;
  canaries.add(text);
  return text;
}

function canaryId(): string {
  const id = randomUUID();
  canaries.add(id);
  return id;
}

/** Watches for a token whole and for each of its parts but the header, which names the algorithm only. */
function canaryToken(token: string): string {
  for (const part of [token, ...token.split(".").slice(1)]) canaries.add(part);
  return `Bearer ${token}`;
}

describe("the log of a service at its most talkative", function () {
  this.timeout(60_000);
  const minting = {
    secret: canary(),
    issuer: "privacy-control",
    audience: "privacy-control",
    serviceAudience: "privacy-control-internal",
    hours: 1,
  };
  let folder: string;
  let proxy: FreezingProxy | undefined;
  let start: RunningScript | undefined;
  let publicUrl = "";
  let internalUrl = "";
  /** How many calls were made: each must have one line. */
  let calls = 0;

  before(async function () {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    proxy = await startFreezingProxy(url);
    const withPassword = new URL(proxy.url);
    withPassword.password = canary();
    start = runScript("start", {
      DATABASE_URL: withPassword.href,
      DATA_DIR: folder,
      HTTP_PORT: "0",
      GRPC_PORT: "0",
      ADMIN_PORT: "0",
      JWT_SECRET: minting.secret,
      LOG_LEVEL: "trace",
      OTEL_TRACES_SAMPLER: "jaeger_remote",
    });
    const text = await start.sees(/"listening"/);
    const line = text.split("\n").find((one) => one.includes('"listening"')) ?? "";
    ({ publicUrl, internalUrl } = JSON.parse(line));
  });
  after(async () => {
    await start?.stop("SIGKILL");
    await proxy?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const asUser = async (id: string) => canaryToken(await userToken(id as UserId, minting));
  const asService = async (actor?: string) => ({
    authorization: canaryToken(
      await serviceToken(
        canary(),
        "access.explain access.read changes.read graph.read graph.write users.act",
        minting,
      ),
    ),
    ...(actor === undefined ? {} : { "x-acting-user": actor }),
  });

  /** One call over REST; resolves to its status. */
  const rest = async (method: string, path: string, authorization?: string, body?: string) => {
    calls += 1;
    const answer = await fetch(publicUrl + path, {
      method,
      headers: {
        "content-type": "application/json",
        "x-acting-user": canary(),
        "user-agent": canary(),
        "idempotency-key": canary(),
        ...(authorization === undefined ? {} : { authorization }),
      },
      ...(body === undefined ? {} : { body }),
    });
    await answer.text();
    return answer.status;
  };
  /** One call over an RPC protocol; resolves to the code of its failure. */
  const rpc = async (call: Promise<unknown>): Promise<unknown> => {
    calls += 1;
    return call.then(
      () => 0,
      (failure: { code: unknown }) => failure.code,
    );
  };
  const transports: [string, (baseUrl: string) => Transport][] = [
    ["grpc", (baseUrl) => createGrpcTransport({ baseUrl })],
    ["connect", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
    ["grpc-web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
  ];

  const alice = canaryId();
  const aliceName = canary();
  const bob = canaryId();
  const block = "/api/v1/e-social/privacy-control/block";

  it("has users whose every text is a canary", async () => {
    const graph = createClient(GraphService, createGrpcTransport({ baseUrl: internalUrl }));
    const users = [alice, bob].map((id) => ({
      id,
      userName: id === alice ? aliceName : canary(),
      firstName: canary(),
      lastName: canary(),
      profilePictureUrls: [`https://cdn.example/${canary()}`],
    }));
    expect(await rpc(graph.upsertUsers({ users }, { headers: await asService() }))).to.equal(0);
    async function* records() {
      const edge = { ownerId: alice, targetId: canaryId() };
      yield { importId: randomUUID(), records: [{ record: { case: "mute" as const, value: edge } }] };
    }
    expect(await rpc(graph.importEdges(records(), { headers: await asService() }))).to.equal(0);
  });

  it("is written for good and bad calls over REST", async () => {
    const token = await asUser(alice);
    const expectStatuses = async (statuses: number[]) => {
      expect(
        await Promise.all([
          rest("POST", `${block}/${bob}`, token),
          rest("POST", `${block}/${bob}`, token),
          rest("POST", `${block}/${canaryId()}`, token),
          rest("POST", `${block}/${canary()}`, token),
          rest("GET", "/users/me/privacy", await asUser(canaryId())),
          rest("GET", "/users/me/privacy", `Bearer ${canary()}`),
          rest("GET", "/users/me/privacy", `Bearer ${canary()}.${canary()}.${canary()}`),
          rest("GET", "/users/me/privacy"),
          rest("GET", `/users/me/privacy?${canary()}=${canary()}`, token),
          rest("GET", `/api/v1/e-social/privacy-control/blocked?page_token=${canary()}`, token),
          rest("PATCH", "/users/me/privacy", token, `{"${canary()}`),
          rest("PATCH", "/users/me/privacy", token, `{"${canary()}":1}`),
          rest("PATCH", "/users/me/privacy", token, `{"setting":"${canary()}","value":"${canary()}"}`),
          rest("PATCH", "/users/me/privacy/groups/exceptions", token, `{"addUserIds":["${canaryId()}"]}`),
        ]),
      ).to.have.members(statuses);
    };
    await expectStatuses([200, 400, 404, 400, 401, 401, 401, 401, 400, 400, 400, 400, 400, 404]);
    // Reaches no method, and so has no line.
    expect((await fetch(`${publicUrl}/${canary()}?${canary()}`)).status).to.equal(404);
  });

  for (const [name, transport] of transports) {
    it(`takes calls over ${name}, good and bad`, async () => {
      const control = createClient(PrivacyControlService, transport(internalUrl));
      const access = createClient(AccessService, transport(internalUrl));
      const headers = await asService(alice);
      const key = (text: string) => ({ "idempotency-key": text });
      const keyed = { ...headers, ...key(canary()) };
      const viewer = { case: "viewerId", value: alice } as const;
      const interaction = Interaction.FOLLOW;
      expect([
        await rpc(control.muteUser({ userId: bob }, { headers: keyed })),
        await rpc(control.muteUser({ userId: canaryId() }, { headers: keyed })),
        await rpc(control.muteUser({ userId: bob }, { headers: { ...headers, ...key(canary().repeat(9)) } })),
        await rpc(control.unmuteUser({ userId: canaryId() }, { headers })),
        await rpc(control.muteUser({ userId: canary() }, { headers })),
        await rpc(control.muteUser({ userId: bob }, { headers: await asService(canary()) })),
        await rpc(control.muteUser({ userId: bob }, { headers: await asService(canaryId()) })),
        await rpc(control.listMutedUsers({ pageToken: canary() }, { headers })),
        await rpc(control.muteUser({ userId: bob }, { headers: { authorization: canary() } })),
        await rpc(access.checkAccess({ viewer, ownerId: bob, interaction }, { headers })),
        await rpc(access.checkAccess({ viewer, ownerId: canaryId(), interaction }, { headers })),
        await rpc(access.filterUsers({ viewer, ownerIds: [canary()], interaction }, { headers })),
        await rpc(control.unmuteUser({ userId: bob }, { headers })),
      ]).to.eql([0, 9, 3, 5, 3, 3, 5, 3, 16, 0, 5, 3, 0]);
    });
  }

  for (const [name, transport] of transports) {
    it(`tells nothing of changes, exports and tokens over ${name}`, async () => {
      const access = createClient(AccessService, transport(internalUrl));
      const changes = createClient(ChangeService, transport(internalUrl));
      const graph = createClient(GraphService, transport(internalUrl));
      const headers = await asService();
      /** The first message of a stream, which stays open until the service ends it. */
      const first = async <Message>(messages: AsyncIterable<Message>): Promise<Message> => {
        for await (const message of messages) return message;
        throw new Error("no message");
      };
      const query = {
        viewer: { case: "viewerId", value: alice },
        ownerId: bob,
        interaction: Interaction.FOLLOW,
      } as const;
      const as = (requirement: { case: "atLeastAsFresh"; value: string }) => ({
        ...query,
        consistency: { requirement },
      });
      calls += 3;
      const { cursor } = await changes.readChanges({}, { headers });
      const snapshot = await first(
        changes.watchChanges({ start: { case: "snapshot", value: true } }, { headers }),
      );
      const { consistencyToken } = await access.checkAccess(query, { headers });
      for (const text of [cursor, snapshot.cursor, consistencyToken]) canaries.add(text);
      const after = (value: string) => ({ start: { case: "cursor", value } }) as const;
      expect([
        await rpc(changes.readChanges(after(snapshot.cursor), { headers })),
        await rpc(changes.readChanges({ ...after(cursor), kinds: [1] }, { headers })),
        await rpc(changes.readChanges(after(canary()), { headers })),
        await rpc(first(changes.watchChanges(after(canary()), { headers }))),
        await rpc(access.checkAccess(as({ case: "atLeastAsFresh", value: consistencyToken }), { headers })),
        await rpc(access.checkAccess(as({ case: "atLeastAsFresh", value: canary() }), { headers })),
        await rpc(access.listHiddenUsers({ viewerId: alice }, { headers })),
        await rpc(access.listHiddenUsers({ viewerId: canaryId() }, { headers })),
        await rpc(access.listHiddenUsers({ viewerId: alice, pageToken: canary() }, { headers })),
        await rpc(access.explainAccess({ viewer: query.viewer, ownerId: bob }, { headers })),
        await rpc(access.explainAccess({ viewer: query.viewer, ownerId: canary() }, { headers })),
        await rpc(graph.findUsers({ userName: aliceName }, { headers })),
        await rpc(graph.findUsers({ userName: canary().repeat(2) }, { headers })),
        await rpc(first(graph.exportRecords({ userId: alice }, { headers }))),
        await rpc(first(graph.exportRecords({ userId: canaryId() }, { headers }))),
        await rpc(first(graph.exportRecords({ userId: canary() }, { headers }))),
      ]).to.eql([0, 3, 3, 3, 0, 3, 0, 5, 3, 0, 3, 0, 3, 0, 5, 3]);
    });
  }

  it("is written for malformed bodies", async () => {
    const { authorization } = await asService();
    const path = "/nexgate.privacy.v1.GraphService/GetUser";
    const session = openSession(internalUrl);
    const headers = { ":path": path, authorization, te: "trailers" };
    for (const type of ["application/grpc", "application/grpc-web+proto"]) {
      calls += 1;
      const chunks = [lengthPrefixed(Buffer.from(canary()))];
      await exchange(session, { headers: { ...headers, "content-type": type }, chunks });
    }
    session.close();
    calls += 1;
    const json = { authorization, "content-type": "application/json" };
    const answer = await fetch(internalUrl + path, {
      method: "POST",
      headers: json,
      body: `{"${canary()}":1}`,
    });
    expect(answer.status).to.equal(400);
  });

  it("loses its database", async () => {
    await proxy?.close();
    proxy = undefined;
    expect(await rest("POST", `${block}/${canaryId()}`, await asUser(alice))).to.equal(503);
    for (const [, transport] of transports) {
      const graph = createClient(GraphService, transport(internalUrl));
      expect(await rpc(graph.getUser({ userId: bob }, { headers: await asService() }))).to.equal(14);
    }
  });

  it("has one line for each call, without any of the canaries", async () => {
    if (start === undefined) throw new Error("the service has not started");
    expect(await start.stop()).to.equal(0);
    const output = start.output();
    const lines = output
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line))
      .filter(({ msg }) => msg === "call" || msg === "call failed");
    expect(lines).to.have.length(calls);
    expect(new Set(lines.map(({ requestId }) => requestId)).size).to.equal(calls);
    for (const line of lines) {
      expect(line).to.include.keys("time", "requestId", "protocol", "method", "code", "ms");
      if (line.code === "ok")
        expect(line.principal, line.method).to.equal(line.protocol === "rest" ? "user" : "service");
    }
    expect(output).to.contain(
      '"name":"OTEL_TRACES_SAMPLER","value":"jaeger_remote","used":"parentbased_always_on"',
    );
    const refused = lines.filter(({ code }) => code === "unauthenticated");
    expect(refused.map(({ tokenFlaw }) => tokenFlaw)).to.have.members([
      ...["user", "malformed", "malformed", "missing"],
      ...transports.map(() => "malformed"),
    ]);
    const unavailable = lines.filter(({ code }) => code === "unavailable");
    const [ended, down] = [true, false].map((is) =>
      unavailable.filter(({ method }) => method.endsWith("/WatchChanges") === is),
    ) as [typeof lines, typeof lines];
    // The end of the service is no fault.
    expect(ended.map(({ level, msg }) => [level, msg])).to.eql(transports.map(() => ["info", "call"]));
    expect(down.map(({ level, err }) => [level, typeof err.message])).to.eql(
      Array.from({ length: 4 }, () => ["error", "string"]),
    );
    expect(canaries.size).to.be.above(100);
    const found = [...canaries].filter((text) => {
      const spellings = [text, text.toUpperCase(), Buffer.from(text).toString("base64").replace(/=+$/, "")];
      return spellings.some((spelling) => output.includes(spelling));
    });
    expect(found).to.eql([]);
  });
});
