import { expect } from "chai";
import fc from "fast-check";
import { pino } from "pino";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { maskOfAll } from "../../../src/service/change-cursor.ts";
import { ChangeFeed } from "../../../src/service/change-feed.ts";
import { ChangeFollower, type Start } from "../../../src/service/change-follower.ts";
import { FakeChangeLog } from "../../support/fake-change-log.ts";
import { until } from "../../support/until.ts";

const { signal } = new AbortController();
const kinds = maskOfAll([]);
const follower = { through: 0n, isInSnapshot: false };
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => BigInt(from + i));

describe("the feed of changes", () => {
  const feeds: ChangeFeed[] = [];
  const lines: string[] = [];
  const logger = pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  const start = async (log: FakeChangeLog, idle = 1) => {
    const feed = await ChangeFeed.start(log.log, { followed: 1, idle }, logger);
    feeds.push(feed);
    return feed;
  };
  const begin = (feed: ChangeFeed, from: Start) => ChangeFollower.begin(feed, kinds, from, signal);
  const reaches = (feed: ChangeFeed, { id }: { id: bigint }) => until(() => feed.head.id >= id);
  /** Everything up to the head, by version. */
  const versionsOf = async (followed: ChangeFollower) => {
    const versions: bigint[] = [];
    for (let part = await followed.next(signal); part; part = await followed.next(signal))
      versions.push(...part.changes.map(({ version }) => version));
    return versions;
  };
  beforeEach(() => lines.splice(0));
  afterEach(async () => {
    for (const feed of feeds.splice(0)) await feed.close();
  });

  it("serves those who keep up without another statement", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log);
    feed.follow(follower);
    const followers = await Promise.all(Array.from({ length: 50 }, () => begin(feed, { at: "now" })));
    await reaches(feed, log.add(2_500));
    const { read } = log.asked;
    for (const one of followers) expect(await versionsOf(one)).to.eql(range(1, 2_500));
    expect(log.asked.read).to.equal(read);
    expect(read).to.equal(3);
  });

  it("tells an earlier time after the clock of the database was set back, and only then", async () => {
    const log = new FakeChangeLog();
    log.clock = 100_000_000n;
    const feed = await start(log);
    feed.follow(follower);
    const [current, behind] = [await begin(feed, { at: "now" }), await begin(feed, { at: "now" })];
    await until(() => feed.through === log.clock);
    expect([current.through, behind.through]).to.eql([log.clock, log.clock]);
    await reaches(feed, log.add(1));
    // A time of before, for one that has not read on.
    expect(behind.through).to.equal(log.clock);
    log.clock = 40_000_000n;
    await until(() => feed.through === log.clock);
    await versionsOf(current);
    expect(current.through).to.equal(log.clock);
    expect(behind.through < 40_000_000n).to.equal(true);
    await versionsOf(behind);
    expect(behind.through).to.equal(log.clock);
  });

  it("has a hundred snapshots under way at most, and as many others as without them", async () => {
    const log = new FakeChangeLog();
    log.stateRows = 10;
    const feed = await start(log);
    const begun = await Promise.all(Array.from({ length: 100 }, () => begin(feed, { at: "snapshot" })));
    for (const one of begun) feed.follow(one);
    const next = await begin(feed, { at: "snapshot" });
    expect(() => feed.follow(next)).to.throw(PrivacyError, "Too busy");
    feed.follow(await begin(feed, { at: "now" }));
    const [first] = begun as [ChangeFollower];
    while (first.isInSnapshot) await first.next(signal);
    feed.follow(next);
  });

  for (const [when, pages] of [
    ["between two pages", 1],
    ["after the last page", 3],
  ] as const) {
    it(`ends a snapshot when the server is started again ${when}, which may have lost what the pages show`, async () => {
      const log = new FakeChangeLog();
      log.stateRows = 2_500;
      // The newest tick is older than the server's start: that alone is no loss.
      log.server = 2n;
      const feed = await start(log);
      const followed = await begin(feed, { at: "snapshot" });
      for (let page = 0; page < pages; page++) await followed.next(signal);
      const { cursor } = followed.progress;
      const finish = async (one: ChangeFollower) => {
        while (one.isInSnapshot) await one.next(signal);
      };
      log.server = 3n;
      for (const again of [followed, await begin(feed, { at: "cursor", cursor })]) {
        const failure = await finish(again).catch((thrown: unknown) => thrown);
        expect(failure).to.have.property("reason", "HISTORY_CHANGED");
      }
      const anew = await begin(feed, { at: "snapshot" });
      await finish(anew);
      expect(anew.progress.complete).to.equal(true);
    });
  }

  it("lets those who have fallen behind read the tables, once for all who are in step, until they are back", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log);
    feed.follow(follower);
    const followers = await Promise.all(Array.from({ length: 20 }, () => begin(feed, { at: "now" })));
    for (let i = 0; i < 30; i++) await reaches(feed, log.add(700));
    const { read } = log.asked;
    const all = await Promise.all(followers.map(versionsOf));
    for (const versions of all) expect(versions).to.eql(range(1, 21_000));
    // What the ring still has is not read again.
    expect(log.asked.read - read).to.be.within(1, 45);
    const after = log.asked.read;
    await reaches(feed, log.add(1));
    expect(await Promise.all(followers.map(versionsOf))).to.eql(followers.map(() => [21_001n]));
    expect(log.asked.read).to.equal(after + 1);
  });

  it("reads a batch that is larger than the ring from the tables, page by page", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log);
    feed.follow(follower);
    const followed = await begin(feed, { at: "now" });
    await reaches(feed, log.add(12_345));
    const part = await followed.next(signal);
    expect(part?.changes).to.have.length(1_000);
    expect(followed.progress.complete).to.equal(false);
    expect(await versionsOf(followed)).to.eql(range(1_001, 12_345));
    expect(followed.progress.complete).to.equal(true);
  });

  it("gives each change once and in order, however the ticks fall and wherever a follower resumes", async () => {
    const steps = fc.array(
      fc.record({
        changes: fc.integer({ min: 0, max: 1_200 }),
        isAtOther: fc.boolean(),
        resumes: fc.boolean(),
        waits: fc.boolean(),
      }),
      { minLength: 1, maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const log = new FakeChangeLog();
        const [one, other] = [await start(log), await start(log)];
        one.follow(follower);
        let followed = await begin(one, { at: "now" });
        const versions: bigint[] = [];
        let count = 0;
        let through = 0n;
        const take = async () => {
          const part = await followed.next(signal);
          versions.push(...(part?.changes.map(({ version }) => version) ?? []));
          const { progress } = followed;
          expect(Number((progress.through ?? 0n) - through)).to.be.at.least(0);
          through = progress.through ?? 0n;
          return part;
        };
        for (const { changes, isAtOther, resumes, waits } of sequence) {
          const tick = log.add(changes);
          count += changes;
          if (waits) await reaches(one, tick);
          await take();
          if (!resumes) continue;
          const { cursor } = followed.progress;
          followed = await begin(isAtOther ? other : one, { at: "cursor", cursor });
          through = followed.progress.through ?? 0n;
        }
        await until(async () => (await take()) === undefined && versions.length >= count);
        expect(versions).to.eql(range(1, count));
        await one.close();
        await other.close();
      }),
      { numRuns: 30 },
    );
  });

  it("sends the changes that come during a snapshot, and ends it after what its last page saw", async () => {
    const log = new FakeChangeLog();
    log.stateRows = 3_500;
    const feed = await start(log);
    feed.follow(follower);
    const followed = await begin(feed, { at: "snapshot" });
    // Each page sees a change that has no tick yet.
    log.before = (name) => {
      if (name === "readState") log.commit(1);
    };
    const versions: bigint[] = [];
    let rows = 0;
    await until(async () => {
      const part = await followed.next(signal);
      for (const { version } of part?.changes ?? []) {
        if (version === 0n) rows += 1;
        else versions.push(version);
      }
      return followed.progress.complete;
    });
    expect(rows).to.equal(3_500);
    expect(versions).to.eql(range(1, log.changes.length));
    expect(versions).to.have.length(4);
  });

  it("sends no page of a snapshot after a change that the page does not see", async () => {
    const log = new FakeChangeLog();
    log.stateRows = 2_500;
    const feed = await start(log);
    feed.follow(follower);
    const followed = await begin(feed, { at: "snapshot" });
    /** Versions, and 0 for a page of the state. */
    const sent: bigint[] = [];
    const next = async () => {
      const part = await followed.next(signal);
      if (part !== undefined && part.changes.length > 0) sent.push(part.changes[0]?.version ?? -1n);
    };
    await next();
    await next();
    // By now the third page is being read, and it is the log's turn.
    expect(log.asked.readState).to.equal(3);
    await reaches(feed, log.add(1));
    await until(async () => {
      await next();
      return followed.progress.complete;
    });
    expect(sent).to.eql([0n, 0n, 0n, 1n]);
  });

  it("does not take for complete what was deleted while it was read", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log);
    const followed = await begin(feed, { at: "now" });
    const { id } = feed.head;
    const last = log.add(10);
    await reaches(feed, last);
    log.before = (name) => {
      if (name === "read") log.ticks.splice(0, log.ticks.findIndex((tick) => tick.id === id) + 1);
    };
    const failure = await Promise.resolve(followed.next(signal)).catch((error) => error);
    expect(failure).to.be.instanceOf(PrivacyError);
    expect(failure.reason).to.equal("CURSOR_EXPIRED");
  });

  it("reads the log seldom while nobody follows it, and at once when asked", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log, 60_000);
    await until(() => log.asked.ticksAfter === 1);
    const tick = log.add(1);
    await feed.refreshed(10_000, signal);
    expect(feed.head.id).to.equal(tick.id);
    expect(log.asked).to.include({ ticksAfter: 2, read: 0 });
  });

  it("tells what the clock of the database showed after it was asked, and nothing when that failed", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log, 60_000);
    await until(() => log.asked.ticksAfter === 1);
    const before = log.add(1).at;
    const polling = Promise.withResolvers<void>();
    log.before = (name) => (name === "ticksAfter" ? polling.promise : undefined);
    const first = feed.refreshed(10_000, signal);
    await until(() => log.asked.ticksAfter === 2);
    // What is read already may be from before this call.
    const second = feed.refreshed(10_000, signal);
    polling.resolve();
    expect(await first).to.equal(before);
    await until(() => log.asked.ticksAfter === 3);
    expect(await second).to.equal(before);
    expect(log.asked.ticksAfter).to.equal(3);
    log.before = () => {
      throw new PrivacyError("UNAVAILABLE");
    };
    expect(await feed.refreshed(10_000, signal)).to.equal(undefined);
    const late = Promise.withResolvers<void>();
    log.before = () => late.promise;
    expect(await feed.refreshed(10, signal)).to.equal(undefined);
    late.resolve();
  });

  it("stores one tick for all who need one while another is being stored, after all of them have asked", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log, 60_000);
    await until(() => log.asked.ticksAfter === 1);
    const first = Promise.withResolvers<void>();
    log.before = (name) => (name === "tick" ? first.promise : undefined);
    const early = feed.storeTick(signal);
    await until(() => log.asked.tick === 2);
    const gone = AbortSignal.abort(new Error("gone"));
    const abandoned = feed.storeTick(gone).catch(({ message }) => message);
    const late = Array.from({ length: 100 }, () => feed.storeTick(signal));
    // What is committed now, no tick sees that is under way.
    const seen = log.add(1);
    first.resolve();
    const [tick, ...others] = await Promise.all(late);
    for (const other of others) expect(other).to.equal(tick);
    expect(tick?.id).to.be.above(Number(seen.id));
    expect(await abandoned).to.equal("gone");
    expect((await early).id).to.be.below(Number(tick?.id));
    expect((await feed.storeTick(signal)).id).to.be.above(Number(tick?.id));
  });

  it("stores the next tick when one could not be stored", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log, 60_000);
    await until(() => log.asked.ticksAfter === 1);
    log.before = () => {
      throw new PrivacyError("UNAVAILABLE");
    };
    const failure = await feed.storeTick(signal).catch((error) => error);
    expect(failure).to.have.property("reason", "UNAVAILABLE");
    log.before = () => {};
    expect(await feed.storeTick(signal)).to.eql(log.ticks.at(-1));
  });

  it("goes on after an outage, and logs it once", async () => {
    const log = new FakeChangeLog();
    const feed = await start(log);
    feed.follow(follower);
    const followed = await begin(feed, { at: "now" });
    let failures = 0;
    log.before = () => {
      failures += 1;
      throw new PrivacyError("UNAVAILABLE");
    };
    const tick = log.add(3);
    await until(() => failures > 10);
    expect(feed.ageSeconds).to.be.above(0);
    log.before = () => {};
    await reaches(feed, tick);
    expect(await versionsOf(followed)).to.eql(range(1, 3));
    expect(lines).to.eql(["the change log cannot be read", "the change log can be read again"]);
  });
});
