import { randomUUID } from "node:crypto";
import { ConnectError } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { expect } from "chai";
import { reasonOf } from "../../../src/call/errors.ts";
import { postgresUrl } from "../../support/cluster.ts";
import { OpenedBackend } from "../../support/opened-backend.ts";
import { startService, type TestService } from "../../support/service.ts";
import { say, type Watcher, watch } from "../../support/watcher.ts";

/** One HTTP/2 connection carries 100 streams. */
const perConnection = 100;

describe("many watchers of one instance", function () {
  this.timeout(120_000);
  let database: OpenedBackend;
  let service: TestService;
  before(async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    database = new OpenedBackend();
    service = await startService(url, {}, database.open);
  });
  after(() => service?.stop(0));

  const open = async (count: number) => {
    const watchers: Watcher[] = [];
    while (watchers.length < count) {
      const baseUrl = service.internalUrl;
      const transport = createGrpcTransport({ baseUrl, sessionManager: new Http2SessionManager(baseUrl) });
      const here = Math.min(perConnection, count - watchers.length);
      const request = { heartbeat: { seconds: 30n } };
      watchers.push(
        ...(await Promise.all(Array.from({ length: here }, () => watch(service, request, transport)))),
      );
    }
    for (const watcher of watchers) await watcher.begun();
    return watchers;
  };
  const addUsers = async (count: number) => {
    const ids = Array.from({ length: count }, () => randomUUID());
    for (const id of ids)
      await service.graph.upsertUsers({ users: [{ id, userName: "someone" }] }, await service.acting());
    return ids.map((id) => `${id} userAdded`);
  };

  /** How often the log is read, and looked at for something new, while some changes are made and delivered. */
  const statementsOf = async (watchers: readonly Watcher[]) => {
    const seen = watchers.map(({ changes }) => changes.length);
    database.sent.length = 0;
    const count = (text: RegExp) => database.sent.filter((sql) => text.test(sql)).length;
    const added = await addUsers(20);
    for (const [index, watcher] of watchers.entries()) {
      await watcher.sees((seen[index] ?? 0) + added.length);
      expect(watcher.changes.slice(seen[index]).map(say)).to.eql(added);
    }
    return { reads: count(/c\.seq::text as version/), polls: count(/from ticks/) };
  };

  it("cost the database what one costs, and are 2,000 at most", async () => {
    const one = await open(1);
    const alone = await statementsOf(one);
    const all = [...one, ...(await open(999))];
    const together = await statementsOf(all);
    // One read for each tick with changes, of which there are at most as many as changes.
    expect(alone.reads).to.be.within(1, 20);
    expect(together.reads).to.be.within(1, 20);
    expect(together.polls).to.be.below(200);
    // The beginning costs nothing either, nor does the end.
    database.sent.length = 0;
    const more = await open(500);
    expect(database.sent.length).to.be.below(200);
    const every = [...all, ...more, ...(await open(500))];
    const refused = await (await watch(service)).ended;
    expect(refused).to.be.instanceOf(ConnectError);
    expect(reasonOf(refused as ConnectError)).to.equal("OVERLOADED");
    await Promise.all(every.map((watcher) => watcher.stop()));
  });
});
