import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "chai";
import pino from "pino";
import { RelationshipIndex } from "../../../src/service/relationship-index.ts";
import type { Tick } from "../../../src/store/change-log.ts";
import type { IndexRead } from "../../../src/store/read-index.ts";
import { until } from "../../support/until.ts";

const tick: Tick = { id: 1n, nonce: "nonce", snapshot: "100:100:", at: 0n, server: 1n };
const nothing: IndexRead = {
  snapshot: "100:100:",
  state: { kind: "state", server: 1n, snapshot: { next: 100n, running: [] } },
  now: 0,
  changes: [],
};

describe("a relationship index", () => {
  const { signal } = new AbortController();
  let index: RelationshipIndex;
  /** The statements that were sent, oldest first. */
  let statements: PromiseWithResolvers<IndexRead>[];

  beforeEach(async () => {
    statements = [];
    index = new RelationshipIndex({
      changes: {
        newestTick: async () => tick,
        tick: async () => tick,
        ticksAfter: async () => ({ ticks: [] }),
        read: async () => [],
      },
      readIndex: {
        serverRun: async () => 1n,
        begin: async () => "session",
        read: () => {
          const statement = Promise.withResolvers<IndexRead>();
          statements.push(statement);
          return statement.promise;
        },
      },
      pages: { read: async () => ({ table: "users", rows: 0, data: new Uint8Array(), next: undefined }) },
      newestTick: () => tick,
      maxBytes: Number.POSITIVE_INFINITY,
      log: pino({ level: "silent" }),
    } as unknown as ConstructorParameters<typeof RelationshipIndex>[0]);
    await until(() => statements.length === 1);
    answer(1);
    await until(() => index.mode === "ready");
  });
  afterEach(async () => {
    const closed = index.close();
    answer(statements.length);
    await closed;
  });

  /** Answers the first statements: the index sends some without being asked. */
  const answer = (count: number) => {
    for (const statement of statements.slice(0, count)) statement.resolve(nothing);
  };

  it("shares a statement among the calls of a turn", async () => {
    const before = statements.length;
    const confirmed = Promise.all([1, 2, 3].map(() => index.confirm(signal)));
    answer(before);
    await until(() => statements.length > before);
    answer(before + 1);
    expect(await confirmed).to.eql([true, true, true]);
  });

  it("confirms no call by a statement that was sent before it", async () => {
    const first = index.confirm(signal);
    const before = statements.length;
    answer(before);
    await until(() => statements.length > before);
    let isConfirmed = false;
    const second = index.confirm(signal).then((isCurrent) => {
      isConfirmed = isCurrent;
    });
    const sent = statements.length;
    answer(sent);
    await first;
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    expect(isConfirmed).to.equal(false);
    await until(() => statements.length > sent);
    answer(statements.length);
    await second;
    expect(isConfirmed).to.equal(true);
  });

  it("sends those who wait to the tables when a statement fails, and when it is closed", async () => {
    const before = statements.length;
    const waits = [index.confirm(signal)];
    answer(before);
    await until(() => statements.length > before);
    waits.push(index.confirm(signal));
    statements.at(-1)?.reject(new Error("no connection"));
    expect(await Promise.all(waits)).to.eql([false, false]);
    expect(index.mode).to.equal("catching_up");
    await until(() => {
      answer(statements.length);
      return index.mode === "ready";
    });
    const waiting = index.confirm(signal);
    const closed = index.close();
    answer(statements.length);
    expect(await waiting).to.equal(false);
    await closed;
  });
});
