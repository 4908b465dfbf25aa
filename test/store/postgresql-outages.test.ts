import { expect } from "chai";
import type { UserId } from "../../src/domain/users.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { type FreezingProxy, startFreezingProxy } from "../support/freezing-proxy.ts";
import { until } from "../support/until.ts";
import { onPostgresql } from "./suite/postgresql.ts";
import { type TestStore, tally, testStore, untilServed } from "./suite/store.ts";

const poolSize = 16;
/** So many changes wait for locks for longer than a moment. */
const lockWaiters = 4;

describe("a PostgreSQL server with a health probe", () => {
  const store = onPostgresql();
  let proxy: FreezingProxy;
  let watched: TestStore;
  let [ann, bob]: UserId[] = [];
  let changes: boolean[];

  beforeEach(async () => {
    [ann, bob] = await store().newUsers(2);
    proxy = await startFreezingProxy(store().url);
    watched = testStore(await openPostgresql(proxy.url, () => {}));
    changes = [];
    watched.watchAvailability((present) => changes.push(present));
    await watched.ping();
  });
  afterEach(async () => {
    proxy.thaw();
    await store().admin.query("rollback");
    await watched.close();
    await proxy.close();
  });

  const mute = () => watched.mutes.mute(ann as UserId, bob as UserId);
  const block = () => watched.blocks.block(ann as UserId, bob as UserId);
  const check = () =>
    watched.relationshipFacts.read([
      { viewer: ann as UserId, owner: bob as UserId, muteScope: 1, setting: null },
    ]);

  async function expectUnavailable(): Promise<void> {
    await until(() => changes.length === 1);
    expect(changes).to.eql([false]);
    const outcomes = await tally([mute(), block(), check(), watched.ping()]);
    expect(outcomes).to.eql({ UNAVAILABLE: 4 });
  }

  async function expectAvailable(): Promise<void> {
    await until(() => changes.length === 2);
    expect(changes).to.eql([false, true]);
    await tally([mute(), block()]);
    await check();
  }

  it("is unavailable while it is frozen, also to calls that already wait", async () => {
    proxy.freeze();
    const waiting = tally([mute(), block(), check()]);
    await expectUnavailable();
    expect(await waiting).to.eql({ UNAVAILABLE: 3 });
    proxy.thaw();
    await expectAvailable();
  });

  it("is unavailable while decisions wait for a table", async () => {
    await store().admin.query("begin; lock table blocks");
    const waiting = tally([check()]);
    await expectUnavailable();
    expect(await waiting).to.eql({ UNAVAILABLE: 1 });
    await store().admin.query("rollback");
    await expectAvailable();
  });

  it("stays available while changes wait for a lock, with free connections", async () => {
    await store().admin.query("begin; lock table blocks, mutes in exclusive mode");
    const holding = new AbortController();
    const holders = tally(
      (await store().newUsers(poolSize)).map((owner) =>
        watched.mutes.mute(owner, bob as UserId, undefined, undefined, holding.signal),
      ),
    );
    await store().untilWaiting(lockWaiters);
    await untilServed(watched);
    expect(await check()).to.have.length(1);
    expect(changes).to.eql([]);
    holding.abort();
    await holders;
  });

  it("can be closed at once, even without a query before", async () => {
    const other = testStore(await openPostgresql(store().url, () => {}));
    const changes: boolean[] = [];
    other.watchAvailability((present) => changes.push(present));
    await other.close();
    expect(changes).to.eql([]);
  });
});
