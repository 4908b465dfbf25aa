import { once } from "node:events";
import { constants } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { pino } from "pino";
import {
  ChangeService,
  WatchChangesRequestSchema,
} from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { ChangeFeed } from "../../../src/service/change-feed.ts";
import { changeHandlers } from "../../../src/service/changes.ts";
import { ConsistencyTokens } from "../../../src/service/consistency-tokens.ts";
import { FakeChangeLog } from "../../support/fake-change-log.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { openSession } from "../../support/raw-http.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";
import { until } from "../../support/until.ts";

const path = "/nexgate.privacy.v1.ChangeService/WatchChanges";

describe("a watcher that takes nothing", function () {
  this.timeout(60_000);
  let log: FakeChangeLog;
  let feed: ChangeFeed;
  let server: TestServer;
  let stopping: AbortController;
  const start = async (delivery: { ms: number; whenStoppingMs: number }) => {
    log = new FakeChangeLog();
    stopping = new AbortController();
    feed = await ChangeFeed.start(log.log, { followed: 1, idle: 1_000 }, pino({ level: "silent" }));
    const handlers = changeHandlers({
      feed,
      signingKey: Buffer.alloc(32),
      consistency: new ConsistencyTokens(Buffer.alloc(32)),
      stopping: stopping.signal,
      delivery,
    });
    server = await startTestServer({
      services: [service(ChangeService, handlers, { isWaiting: true, compresses: false })],
    });
  };
  afterEach(async () => {
    await feed.close();
    await server.stop();
  });
  const ended = () => server.lines.filter(({ msg, method }) => msg.startsWith("call") && method);

  /** A watcher over HTTP/2 that reads nothing. */
  const openDeaf = async () => {
    const session = openSession(server.listener.url);
    await once(session, "remoteSettings");
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      authorization: "good",
    });
    stream.on("error", () => {});
    stream.end(lengthPrefixed(toBinary(WatchChangesRequestSchema, create(WatchChangesRequestSchema))));
    await once(stream, "response");
    return { session, stream };
  };

  it("is ended with UNAVAILABLE, and its client finds the stream reset so", async () => {
    await start({ ms: 300, whenStoppingMs: 300 });
    const { session, stream } = await openDeaf();
    await until(() => feed.watchers === 1);
    while (feed.watchers > 0) {
      log.add(1_000);
      await new Promise(setImmediate);
    }
    await until(() => ended().length === 1);
    expect(ended()[0]).to.include({ msg: "call", code: "unavailable" });
    // The status comes when the client reads.
    const closed = new Promise((resolve) => stream.once("close", resolve));
    stream.resume();
    await closed;
    expect(stream.rstCode).to.equal(constants.NGHTTP2_REFUSED_STREAM);
    session.destroy();
  });

  it("takes no memory for what it does not take", async () => {
    await start({ ms: 30_000, whenStoppingMs: 300 });
    const deaf = await Promise.all(Array.from({ length: 10 }, openDeaf));
    await until(() => feed.watchers === 10);
    // More than their buffers, before the measurement begins.
    const bytes = () => process.memoryUsage().arrayBuffers;
    const add = async (batches: number) => {
      for (let i = 0; i < batches; i++) {
        const { id } = log.add(1_000);
        log.changes.splice(0, log.changes.length - 1_000);
        await until(() => feed.head.id === id);
      }
    };
    await add(20);
    const before = bytes();
    // 130 KB a batch and watcher.
    await add(100);
    expect(bytes() - before).to.be.below(30 * 1024 * 1024);
    expect(feed.watchers).to.equal(10);
    expect(feed.lagSeconds).to.be.above(90);
    for (const { session } of deaf) session.destroy();
    await until(() => feed.watchers === 0);
  });

  it("does not hold up the end of the service", async () => {
    await start({ ms: 30_000, whenStoppingMs: 100 });
    const { session } = await openDeaf();
    await until(() => feed.watchers === 1);
    for (let i = 0; i < 20; i++) {
      const { id } = log.add(1_000);
      await until(() => feed.head.id === id);
    }
    stopping.abort();
    await until(() => feed.watchers === 0, 5_000);
    expect(ended()[0]).to.include({ code: "unavailable" });
    session.destroy();
  });
});
