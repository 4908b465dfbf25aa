import { randomUUID } from "node:crypto";
import { create, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import {
  type ExportRecordsResponse,
  ImportRecordSchema,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import {
  Audience,
  MuteScope,
  PrivacySetting,
  UserSchema,
} from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import type { UserId } from "../../src/domain/users.ts";
import { openDatabase } from "../../src/store/database.ts";
import type { ExportRepository } from "../../src/store/export.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

type RecordInit = MessageInitShape<typeof ImportRecordSchema>;

async function* only<T>(message: T): AsyncIterable<T> {
  yield message;
}

const time = (seconds: bigint, micros: number) => create(TimestampSchema, { seconds, nanos: micros * 1_000 });

/** What a record says, to compare it. */
const said = (record: RecordInit) => toJsonString(ImportRecordSchema, create(ImportRecordSchema, record));

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`an export over gRPC, on ${backend}`, () => {
    let service: TestService;
    let options: CallOptions;
    let [ann, bob] = ["", ""];
    before(async function () {
      service = await startService(await databaseUrl(this));
      options = await service.acting();
    });
    after(() => service?.stop(1_000));
    beforeEach(() => {
      [ann, bob] = [randomUUID(), randomUUID()];
    });

    async function exportOf(userId = ""): Promise<ExportRecordsResponse[]> {
      const messages: ExportRecordsResponse[] = [];
      for await (const message of service.graph.exportRecords({ userId }, options)) messages.push(message);
      return messages;
    }

    const importAll = (records: RecordInit[]) =>
      service.graph.importEdges(only({ importId: randomUUID(), records }), options);

    const user = (id: string): RecordInit => ({
      record: {
        case: "user",
        value: create(UserSchema, {
          id,
          userName: 'a "name"\n😀',
          profilePictureUrls: ["https://x.example/a b"],
        }),
      },
    });

    it("has every record as an import takes it, to the microsecond", async () => {
      const createdAt = time(1_600_000_000n, 123_457);
      const expiresAt = time(4_000_000_000n, 1);
      const edge = { ownerId: ann, targetId: bob, createdAt };
      const records: RecordInit[] = [
        user(ann),
        { record: { case: "block", value: { ...edge, expiresAt, scopes: [] } } },
        { record: { case: "mute", value: { ...edge, expiresAt, scopes: [MuteScope.NOTIFICATIONS] } } },
        {
          record: {
            case: "setting",
            value: { userId: ann, setting: PrivacySetting.GROUPS, audience: Audience.CONTACT_BLACKLIST },
          },
        },
        {
          record: {
            case: "exception",
            value: { userId: ann, setting: PrivacySetting.GROUPS, exceptedId: bob, createdAt },
          },
        },
      ];
      await importAll([user(bob), ...records]);
      const [message, ...more] = await exportOf(ann.toUpperCase());
      expect(more).to.eql([]);
      expect(message?.records.map(said)).to.eql(records.map(said));
      expect(message?.totalSize).to.equal(BigInt(records.length));
      const all = (await exportOf()).flatMap(({ records }) => records.map(said));
      expect(all).to.include.members(records.map(said));
      const again = await service.graph.importEdges(
        only({ importId: randomUUID(), records: message?.records ?? [] }),
        options,
      );
      expect(again.progress).to.deep.include({ stored: 0n, unchanged: BigInt(records.length), skipped: [] });
    });

    it("has at most 1,000 records in a message, and fewer when users are long", async () => {
      const others = Array.from({ length: 1_500 }, () => randomUUID());
      const long = Array.from({ length: 16 }, (_, n) => `https://cdn.example/${n}/${"x".repeat(2_000)}`);
      for (let from = 0; from < others.length; from += 100)
        await service.graph.upsertUsers(
          {
            users: others
              .slice(from, from + 100)
              .map((id, n) => ({ id, userName: "u", profilePictureUrls: n % 10 === 0 ? long : [] })),
          },
          options,
        );
      await importAll(
        others.slice(0, 1_000).map((ownerId) => ({
          record: { case: "follow", value: { ownerId, targetId: others.at(-1) as string } },
        })),
      );
      const messages = await exportOf();
      const counts = messages.map(({ records }) => records.length);
      expect(Math.max(...counts)).to.be.at.most(1_000);
      const sizes = messages.map(({ records }) => records.map(said).join().length);
      expect(Math.max(...sizes)).to.be.within(100_000, 1024 * 1024);
      const users = messages.flatMap(({ records }) => records.filter(({ record }) => record.case === "user"));
      expect(users.length).to.be.at.least(1_500);
    });

    it("of an unknown user fails, and of no UUID too", async () => {
      const failure = await exportOf(randomUUID()).catch(ConnectError.from);
      expect(failure).to.be.instanceOf(ConnectError);
      expect([(failure as ConnectError).code, reasonOf(failure as ConnectError)]).to.eql([
        Code.NotFound,
        "USER_NOT_FOUND",
      ]);
      const malformed = (await exportOf("ann").catch(ConnectError.from)) as ConnectError;
      expect(malformed.code).to.equal(Code.InvalidArgument);
    });
  });
}

describe("the stream of an export", () => {
  /** A service whose exports go on for ever; counts the pages that were read, and the exports that are being read. */
  async function endlessExports() {
    const state = { pages: 0, open: 0 };
    const ids = Array.from({ length: 1_000 }, () => randomUUID() as UserId);
    const record = (id: UserId) =>
      ({ kind: "follow", edge: { owner: id, target: id, createdAt: 0n } }) as const;
    const service = await startService(undefined, {}, async (options) => {
      const database = await openDatabase(options);
      const exports: Pick<ExportRepository, "count" | "read"> = {
        count: async () => 0,
        async *read() {
          state.open += 1;
          try {
            for (;;) {
              state.pages += 1;
              yield ids.map((id) => record(id));
              await new Promise(setImmediate);
            }
          } finally {
            state.open -= 1;
          }
        },
      };
      return { ...database, exports: exports as ExportRepository };
    });
    return { service, state };
  }

  it("ends with UNAVAILABLE when the service stops, and holds up no shutdown", async () => {
    const { service, state } = await endlessExports();
    const messages = service.graph.exportRecords({}, await service.acting())[Symbol.asyncIterator]();
    await messages.next();
    const stopped = service.stop(20_000);
    const ended = (async () => {
      while (!(await messages.next()).done);
    })();
    const failure = ConnectError.from(await ended.catch((thrown) => thrown));
    expect(failure.code).to.equal(Code.Unavailable);
    expect(await stopped).to.equal(0);
    await until(() => state.open === 0);
  });

  it("is not read on for a client that has gone, nor for one that reads nothing", async () => {
    const { service, state } = await endlessExports();
    try {
      const abort = new AbortController();
      const messages = service.graph.exportRecords({}, { ...(await service.acting()), signal: abort.signal });
      const iterator = messages[Symbol.asyncIterator]();
      await iterator.next();
      let [before, same] = [0, 0];
      // Until nothing is read for a while: what is in transit is bounded.
      await until(() => {
        same = state.pages === before ? same + 1 : 0;
        before = state.pages;
        return same > 20;
      });
      expect(state.pages).to.be.below(2_000);
      expect(state.open).to.equal(1);
      abort.abort();
      await until(() => state.open === 0);
    } finally {
      await service.stop(1_000);
    }
  });
});
