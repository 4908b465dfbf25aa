import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { ConsistencyToken } from "../../../src/domain/consistency.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type Database, databaseOn } from "../../../src/store/database.ts";
import { openPostgresql } from "../../../src/store/postgresql.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { until } from "../../support/until.ts";
import { type Figure, figuresOf } from "../support/report.ts";
import { killServer } from "../support/server-faults.ts";
import { addUsers } from "./users.ts";
import type { Probe, Way } from "./ways.ts";

/** What the new primary said of tokens of the old one, and of its own. */
interface LostWrites {
  /** Tokens whose writes were lost. */
  readonly lost: number;
  /** How many answers to these were "satisfied". */
  readonly satisfied: number;
  /** Tokens of writes that were not lost, and how many are satisfied. */
  readonly kept: number;
  readonly keptSatisfied: number;
  /** The same for writes and decisions of the new primary. */
  readonly own: number;
  readonly ownSatisfied: number;
}

/**
 * Promotes a standby that lacks the last writes, then makes others until their transaction ids and log positions are beyond
 * those of the lost ones, and asks for the tokens of the lost ones after each.
 */
export async function loseWrites(writes: number, way: Way): Promise<LostWrites> {
  await using parts = new AsyncDisposableStack();
  const primary = await startThrowawayServer();
  parts.defer(() => primary.stop());
  const open = async (url: string) => {
    const database = databaseOn(await openPostgresql(url, () => {}));
    parts.defer(() => database.close());
    const pool = new pg.Pool({ connectionString: url, max: 2 });
    pool.on("error", () => {});
    parts.defer(() => pool.end());
    return { database, pool };
  };
  const old = await open(primary.url);
  await old.database.migrate();
  const [owner, early, late, ...targets] = (await addUsers(old.database, 3 + 2 * writes)) as [
    UserId,
    UserId,
    UserId,
    ...UserId[],
  ];
  const standby = await startThrowawayServer({ standbyOf: primary.url });
  parts.defer(() => standby.stop());
  const atStandby = new pg.Pool({ connectionString: standby.url, max: 2 });
  parts.defer(() => atStandby.end());

  // The first of two transactions commits last, after the standby has stopped to receive.
  const first = new pg.Client({ connectionString: primary.url });
  first.on("error", () => {});
  await first.connect();
  parts.defer(() => first.end());
  await first.query("begin");
  await first.query("insert into mutes (muter_id, muted_id, id, created_at) values ($1, $2, $1, now())", [
    owner,
    early,
  ]);
  const kept = [(await old.database.mutes.mute(owner, late)).token];
  await old.database.changes.tick({ force: true });
  const keptProbes = await prepareAll(way, kept, old.pool);
  await until(async () => (await atStandby.query("select from mutes")).rowCount === 1);
  await atStandby.query("alter system set primary_conninfo = ''");
  await atStandby.query("select pg_reload_conf()");
  await until(async () => (await atStandby.query("select from pg_stat_wal_receiver")).rowCount === 0);

  await first.query("commit");
  const lost: ConsistencyToken[] = [await stateOf(old.database, owner, early)];
  const probes = await prepareAll(way, lost, old.pool);
  for (const target of targets.slice(0, writes)) {
    const { token } = await old.database.mutes.mute(owner, target);
    const nothing = await old.database.blocks.unblock(owner, target);
    const tokens = [token, nothing, await stateOf(old.database, owner, target)];
    lost.push(...tokens);
    probes.push(...(await prepareAll(way, tokens, old.pool)));
  }
  const position = (await old.pool.query("select pg_current_wal_lsn()::text as lsn")).rows[0].lsn;
  const xids = lost.map((token) => (token.kind === "write" ? token.xid : token.snapshot.next));
  const lastXid = xids.reduce((a, b) => (a > b ? a : b));
  await killServer(primary);

  await atStandby.query("select pg_promote()");
  const now = await open(standby.url);
  let [satisfied, own, ownSatisfied] = [0, 0, 0];
  for (let round = 0; ; round++) {
    const target = targets[writes + (round % writes)] as UserId;
    const pair = [target, owner] as const;
    const token = await (round % (2 * writes) < writes
      ? now.database.follows.follow(...pair)
      : now.database.follows.unfollow(...pair));
    await now.database.changes.tick({ force: true });
    for (const mine of [token, await stateOf(now.database, ...pair)]) {
      own += 1;
      if (await now.database.consistency.isSatisfied(mine)) ownSatisfied += 1;
    }
    satisfied += await countSatisfied(probes, now.pool);
    const { rows } = await now.pool.query(
      "select pg_current_xact_id()::text as xid, pg_current_wal_lsn() > $1::pg_lsn as is_beyond",
      [position],
    );
    if (BigInt(rows[0].xid) > lastXid && rows[0].is_beyond && round >= writes) break;
    await setTimeout(1);
  }
  return {
    lost: probes.length,
    satisfied,
    kept: kept.length,
    keptSatisfied: await countSatisfied(keptProbes, now.pool),
    own,
    ownSatisfied,
  };
}

function prepareAll(way: Way, tokens: readonly ConsistencyToken[], primary: pg.Pool): Promise<Probe[]> {
  return Promise.all(tokens.map((token) => way.prepare(token, primary)));
}

async function countSatisfied(probes: readonly Probe[], server: pg.Pool): Promise<number> {
  let satisfied = 0;
  for (const probe of probes) {
    const { rows } = await server.query(probe.sql, [...probe.values]);
    if (probe.isSatisfied(rows[0])) satisfied += 1;
  }
  return satisfied;
}

/** The state that a decision about a pair rests on. */
async function stateOf(database: Database, viewer: UserId, owner: UserId): Promise<ConsistencyToken> {
  const [facts] = await database.relationshipFacts.read([{ viewer, owner, muteScope: 1, setting: null }]);
  if (facts === undefined) throw new Error("a decision without facts");
  return facts.state;
}

/** What must hold after a promotion that lost writes. */
export function lostFigures({
  lost,
  satisfied,
  kept,
  keptSatisfied,
  own,
  ownSatisfied,
}: LostWrites): Figure[] {
  const figure = figuresOf("lost writes");
  return [
    figure("tokens of lost writes", lost, { atLeast: 10 }),
    figure("of these satisfied", satisfied, { atMost: 0 }),
    figure("tokens of kept writes not satisfied", kept - keptSatisfied, { atMost: 0 }),
    figure("own tokens", own, { atLeast: 10 }),
    figure("own tokens not satisfied", own - ownSatisfied, { atMost: 0 }),
  ];
}
