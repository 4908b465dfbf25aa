import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import {
  type GetImportResponse,
  type ImportEdgesRequestSchema,
  type ImportedEdgeSchema,
  type ImportedExceptionSchema,
  type ImportedSettingSchema,
  type ImportRecordSchema,
  SkippedRecordSchema,
  SkipReason,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import {
  type Audience,
  MuteScope,
  type PrivacySetting,
  UserSchema,
} from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { openDatabase } from "../../src/store/database.ts";
import type { ImportRepository } from "../../src/store/imports.ts";
import { lengthPrefixed } from "../support/frames.ts";
import { exchange, openSession } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

type Message = MessageInitShape<typeof ImportEdgesRequestSchema>;
type RecordInit = MessageInitShape<typeof ImportRecordSchema>;

async function* streamOf(...messages: Message[]): AsyncIterable<Message> {
  yield* messages;
}

const edge = (
  kind: "follow" | "block" | "mute",
  ownerId: string,
  targetId: string,
  createdAt?: { seconds: bigint; nanos: number },
): RecordInit => ({ record: { case: kind, value: { ownerId, targetId, ...(createdAt && { createdAt }) } } });

const userRecord = (id: string, userName = "someone"): RecordInit => ({
  record: { case: "user", value: create(UserSchema, { id, userName }) },
});

const malformed: RecordInit = {};

/**
 * Two services import under one id: the block of the second must not be skipped because of the record of the first.
 * Returns how many blocks of the second are stored, and the progress that each of them is answered.
 */
async function importUnderOneId(service: TestService): Promise<{ blocks: number; records: number[] }> {
  const [ann, bob, importId] = [randomUUID(), randomUUID(), randomUUID()];
  const callers = await Promise.all(
    ["accounts", "messaging"].map(async (name) => ({
      headers: { authorization: `Bearer ${await service.serviceToken(undefined, name)}` },
    })),
  );
  const [first, second] = callers as [CallOptions, CallOptions];
  await service.graph.upsertUsers({ users: [ann, bob].map((id) => ({ id, userName: "someone" })) }, first);
  await service.graph.importEdges(
    streamOf({ importId, records: [edge("follow", ann, bob), edge("mute", ann, bob)] }),
    first,
  );
  await service.graph.importEdges(streamOf({ importId, records: [edge("block", bob, ann)] }), second);
  const { blocking } = await service.graph.getRelationship({ userId: bob, otherUserId: ann }, first);
  const progresses = await Promise.all(
    callers.map((caller) => service.graph.getImport({ importId }, caller)),
  );
  return { blocks: blocking ? 1 : 0, records: progresses.map(({ progress }) => Number(progress?.records)) };
}

describe("the id of an import", function () {
  this.timeout(30_000);

  it("is the calling service's own", async () => {
    const service = await startService();
    try {
      expect(await importUnderOneId(service)).to.eql({ blocks: 1, records: [2, 1] });
    } finally {
      await service.stop(1_000);
    }
  });

  it("loses a block when it is everyone's, as a mutant shows", async () => {
    const service = await startService(undefined, {}, async (options) => {
      const { imports, ...database } = await openDatabase(options);
      const shared: Pick<ImportRepository, "progress" | "store"> = {
        progress: ({ id }, ...rest) => imports.progress({ service: "", id }, ...rest),
        store: ({ id }, ...rest) => imports.store({ service: "", id }, ...rest),
      };
      return { ...database, imports: shared as ImportRepository };
    });
    try {
      expect(await importUnderOneId(service)).to.eql({ blocks: 0, records: [2, 2] });
    } finally {
      await service.stop(1_000);
    }
  });
});

describe("an import over gRPC", () => {
  let service: TestService;
  let options: CallOptions;
  let ann: string;
  let bob: string;
  before(async () => {
    service = await startService();
    options = await service.acting();
  });
  after(() => service.stop(1_000));
  beforeEach(async () => {
    [ann, bob] = [randomUUID(), randomUUID()];
    const users = [ann, bob].map((id) => ({ id, userName: "someone" }));
    await service.graph.upsertUsers({ users }, options);
  });

  const importOf = (...messages: Message[]) => service.graph.importEdges(streamOf(...messages), options);
  const progressOf = async (importId: string) =>
    (await service.graph.getImport({ importId }, options)).progress as NonNullable<
      GetImportResponse["progress"]
    >;
  const recordsOf = async (importId: string) => Number((await progressOf(importId)).records);

  async function reason(call: Promise<unknown>): Promise<[string | undefined, string | undefined]> {
    try {
      await call;
      return ["OK", undefined];
    } catch (failure) {
      const error = ConnectError.from(failure);
      return [Code[error.code], reasonOf(error)];
    }
  }

  it("stores users and edges of several messages, with their times", async () => {
    const importId = randomUUID();
    const carl = randomUUID();
    const createdAt = { seconds: 1_600_000_000n, nanos: 123_456_789 };
    const { progress, skipped } = await importOf(
      { importId, records: [userRecord(carl, "carl"), edge("follow", carl, ann)] },
      {
        importId: importId.toUpperCase(),
        firstRecord: 2n,
        records: [edge("block", ann.toUpperCase(), bob, createdAt), edge("mute", ann, carl)],
      },
    );
    expect(progress).to.deep.include({ records: 4n, stored: 4n, unchanged: 0n, skipped: [] });
    expect(skipped).to.eql([]);
    expect((await service.graph.getUser({ userId: carl }, options)).user?.userName).to.equal("carl");
    const relationship = await service.graph.getRelationship({ userId: ann, otherUserId: carl }, options);
    expect(relationship).to.deep.include({ followedBy: true, muting: true, following: false });
    const { json } = await service.rest("GET", "/api/v1/e-social/privacy-control/blocked", { as: ann });
    expect(json.data).to.have.length(1);
    expect(json.data[0]).to.deep.include({ createdAt: "2020-09-13T12:26:40Z" });
  });

  it("keeps the fields of a user that a record omits", async () => {
    const known = { id: ann, userName: "ann", firstName: "Ann", lastName: "A", isVerified: true };
    await service.graph.upsertUsers({ users: [known] }, options);
    const inPart = (paths: string[]): RecordInit => ({
      record: { case: "user", value: create(UserSchema, { id: ann, userName: "anna" }) },
      userFields: { paths },
    });
    const { skipped } = await importOf({
      importId: randomUUID(),
      records: [inPart(["user_name", "last_name"]), inPart(["user_name", "is_admin"])],
    });
    const expected = { ...known, userName: "anna", lastName: "" };
    expect((await service.graph.getUser({ userId: ann }, options)).user).to.deep.include(expected);
    expect(skipped.map(({ record, description }) => [Number(record), description])).to.eql([
      [1, "userFields names a field that a user does not have"],
    ]);
  });

  it("changes nothing when it is repeated", async () => {
    const records = [userRecord(ann), edge("follow", ann, bob), edge("mute", bob, ann)];
    await importOf({ importId: randomUUID(), records });
    const { progress } = await importOf({ importId: randomUUID(), records });
    expect(progress).to.deep.include({ records: 3n, stored: 0n, unchanged: 3n });
  });

  it("says what is wrong with an expiry, a scope, a setting or an exception", async () => {
    const [block, mute] = (["block", "mute"] as const).map(
      (kind) =>
        (facts: MessageInitShape<typeof ImportedEdgeSchema>): RecordInit => ({
          record: { case: kind, value: { ownerId: ann, targetId: bob, ...facts } },
        }),
    ) as [(facts: object) => RecordInit, (facts: object) => RecordInit];
    const setting = (facts: MessageInitShape<typeof ImportedSettingSchema>): RecordInit => ({
      record: { case: "setting", value: { userId: ann, setting: 5, audience: 4, ...facts } },
    });
    const exception = (facts: MessageInitShape<typeof ImportedExceptionSchema>): RecordInit => ({
      record: { case: "exception", value: { userId: ann, setting: 5, exceptedId: bob, ...facts } },
    });
    const time = { seconds: 4_000_000_000n, nanos: 0 };
    const malformedOnes: [RecordInit, string][] = [
      [
        { record: { case: "follow", value: { ownerId: ann, targetId: bob, expiresAt: time } } },
        "expiresAt is for blocks and mutes: a follow does not end by itself",
      ],
      [
        { record: { case: "follow", value: { ownerId: ann, targetId: bob, scopes: [1] } } },
        "scopes is for mutes only",
      ],
      [block({ scopes: [MuteScope.CONTENT] }), "scopes is for mutes only"],
      [mute({ scopes: [1, 0] }), "scopes must be a value that is defined, not 0"],
      [mute({ scopes: [3] }), "scopes must be a value that is defined, not 3"],
      [
        block({ expiresAt: { seconds: 253_402_300_800n, nanos: 0 } }),
        "expiresAt must be in the years 1 to 9999",
      ],
      [setting({ userId: "ann" }), "userId must be a valid UUID"],
      [setting({ setting: 0 }), "setting must be a value that is defined, not 0"],
      [setting({ audience: 77 as Audience }), "audience must be a value that is defined, not 77"],
      [exception({ exceptedId: "" }), "exceptedId must be a valid UUID"],
      [exception({ setting: 99 as PrivacySetting }), "setting must be a value that is defined, not 99"],
      [
        exception({ createdAt: { seconds: 0n, nanos: 1_000_000_000 } }),
        "createdAt must be in the years 1 to 9999",
      ],
    ];
    const good = [
      block({ expiresAt: time }),
      mute({ expiresAt: time, scopes: [1, 2] }),
      setting({}),
      exception({}),
    ];
    const { progress, skipped } = await importOf({
      importId: randomUUID(),
      records: [...malformedOnes.map(([record]) => record), ...good],
    });
    expect(skipped.map(({ description }) => description)).to.eql(malformedOnes.map(([, text]) => text));
    expect(progress).to.deep.include({ stored: BigInt(good.length), unchanged: 0n });
    const ended = { seconds: 1_000_000_000n, nanos: 0 };
    const late = await importOf({ importId: randomUUID(), records: [block({ expiresAt: ended })] });
    expect(late.skipped).to.deep.include.members([
      create(SkippedRecordSchema, { reason: SkipReason.EXPIRED, description: "expiresAt has passed" }),
    ]);
  });

  it("names the records that it skips, and why", async () => {
    const importId = randomUUID();
    const tooLate = { seconds: 253_402_300_800n, nanos: 0 };
    const { progress, skipped } = await importOf({
      importId,
      records: [
        edge("follow", ann, bob),
        malformed,
        edge("block", ann, "no uuid"),
        userRecord("no uuid"),
        userRecord(randomUUID(), ""),
        edge("mute", ann, bob, tooLate),
        edge("mute", ann, bob, { seconds: 0n, nanos: -1 }),
        edge("mute", ann, ann.toUpperCase()),
        edge("mute", ann, randomUUID()),
        edge("block", bob, ann),
      ],
    });
    const { FOLLOW_ACROSS_BLOCK, MALFORMED, SELF, UNKNOWN_USER } = SkipReason;
    expect(skipped.map(({ record, ...why }) => [Number(record), why.reason, why.description])).to.eql([
      [0, FOLLOW_ACROSS_BLOCK, "ownerId or targetId blocks the other"],
      [1, MALFORMED, "the record is empty"],
      [2, MALFORMED, "targetId must be a valid UUID"],
      [3, MALFORMED, "id must be a valid UUID"],
      [4, MALFORMED, "userName must be at least 1 characters"],
      [5, MALFORMED, "createdAt must be in the years 1 to 9999"],
      [6, MALFORMED, "createdAt must be in the years 1 to 9999"],
      [7, SELF, "ownerId and targetId are the same user"],
      [8, UNKNOWN_USER, "targetId is no known user"],
    ]);
    const counts = (progress?.skipped ?? []).map(({ reason, count }) => [reason, Number(count)]);
    expect(counts).to.have.deep.members([
      [SkipReason.MALFORMED, 6],
      [SkipReason.SELF, 1],
      [SkipReason.UNKNOWN_USER, 1],
      [SkipReason.FOLLOW_ACROSS_BLOCK, 1],
    ]);
    expect(await progressOf(importId)).to.eql(progress);
  });

  it("reports no more than the first 10,000 skipped records, and counts all", async () => {
    const importId = randomUUID();
    const message = (firstRecord: bigint): Message => ({
      importId,
      firstRecord,
      records: Array.from({ length: 1_000 }, () => malformed),
    });
    const { progress, skipped } = await importOf(
      ...Array.from({ length: 12 }, (_, n) => message(BigInt(n * 1_000))),
    );
    expect(skipped.map(({ record }) => Number(record))).to.eql(Array.from({ length: 10_000 }, (_, i) => i));
    expect(Number(progress?.skipped[0]?.count)).to.equal(12_000);
  });

  const refused: Record<string, (importId: string) => Message[]> = {
    "no message": () => [],
    "no import id": () => [{ importId: "", records: [] }],
    "an import id that is none": () => [{ importId: "import 1", records: [] }],
    "another import id than before": (importId) => [{ importId }, { importId: randomUUID() }],
    "a negative number": (importId) => [{ importId, firstRecord: -1n }],
    "more than 1,000 records": (importId) => [
      { importId, records: Array.from({ length: 1_001 }, () => malformed) },
    ],
  };
  for (const [name, messages] of Object.entries(refused)) {
    it(`refuses ${name}`, async () => {
      const importId = randomUUID();
      expect(await reason(importOf(...messages(importId)))).to.eql(["InvalidArgument", "INVALID_REQUEST"]);
      expect(await recordsOf(importId)).to.equal(0);
    });
  }

  it("refuses bytes that are no message", async () => {
    const session = openSession(service.internalUrl);
    const answer = await exchange(session, {
      headers: {
        ":path": "/nexgate.privacy.v1.GraphService/ImportEdges",
        "content-type": "application/grpc",
        te: "trailers",
        authorization: `Bearer ${await service.serviceToken()}`,
      },
      chunks: [lengthPrefixed(Buffer.from([0xff, 0xff]))],
    });
    session.close();
    expect({ ...answer.headers, ...answer.trailers }["grpc-status"]).to.equal(String(Code.InvalidArgument));
  });

  it("refuses a gap", async () => {
    const call = importOf({ importId: randomUUID(), firstRecord: 1n, records: [malformed] });
    expect(await reason(call)).to.eql(["FailedPrecondition", "IMPORT_GAP"]);
  });

  it("needs the scope of writing, and its progress that of reading", async () => {
    const acting = async (scope: string) => ({
      headers: { authorization: `Bearer ${await service.serviceToken(scope)}` },
    });
    const importId = randomUUID();
    const write = service.graph.importEdges(streamOf({ importId }), await acting("graph.read"));
    expect(await reason(write)).to.eql(["PermissionDenied", "SCOPE_MISSING"]);
    const read = service.graph.getImport({ importId }, await acting("graph.write"));
    expect(await reason(read)).to.eql(["PermissionDenied", "SCOPE_MISSING"]);
    expect(await reason(service.graph.getImport({ importId: "x" }, options))).to.eql([
      "InvalidArgument",
      "INVALID_REQUEST",
    ]);
  });

  async function untilRecords(importId: string, count: number): Promise<void> {
    while ((await recordsOf(importId)) < count) await new Promise(setImmediate);
  }

  it("reports its progress while it runs", async () => {
    const importId = randomUUID();
    async function* watched(): AsyncIterable<Message> {
      expect(await recordsOf(importId)).to.equal(0);
      yield { importId, records: [edge("follow", ann, bob), malformed] };
      await untilRecords(importId, 2);
      expect(await progressOf(importId)).to.deep.include({ records: 2n, stored: 1n });
      yield { importId, firstRecord: 2n, records: [malformed] };
    }
    const { progress } = await service.graph.importEdges(watched(), options);
    expect(progress?.records).to.equal(3n);
  });

  it("keeps what it stored when the caller disconnects, and continues from there", async () => {
    const importId = randomUUID();
    const messages: Message[] = [
      { importId, records: [edge("follow", ann, bob), malformed] },
      { importId, firstRecord: 2n, records: [edge("mute", ann, bob)] },
      { importId, firstRecord: 3n, records: [edge("mute", bob, ann)] },
    ];
    const controller = new AbortController();
    async function* brokenOff(): AsyncIterable<Message> {
      yield* messages.slice(0, 2);
      await untilRecords(importId, 3);
      controller.abort();
      yield* messages.slice(2);
    }
    const call = service.graph.importEdges(brokenOff(), { ...options, signal: controller.signal });
    expect((await reason(call))[0]).to.equal("Canceled");
    expect(await recordsOf(importId)).to.equal(3);
    const { progress, skipped } = await importOf(...messages);
    expect(progress).to.deep.include({ records: 4n, stored: 3n, unchanged: 0n });
    expect(skipped).to.eql([]);
    const relationship = await service.graph.getRelationship({ userId: ann, otherUserId: bob }, options);
    expect(relationship).to.deep.include({ following: true, muting: true, mutedBy: true });
  });
});
