import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { ConsistencyToken } from "../../../src/domain/consistency.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type Database, databaseOn } from "../../../src/store/database.ts";
import { openPostgresql } from "../../../src/store/postgresql.ts";
import { type Figure, figuresOf } from "../support/report.ts";
import type { Probe, Way } from "./ways.ts";

/** A server, by the service's own connections and by others. */
export interface Served {
  readonly database: Database;
  readonly pool: pg.Pool;
}

/** What a server said of tokens of what it has lost, and of its own. */
interface LostWrites {
  /** Tokens whose writes were lost. */
  readonly lost: number;
  /** How many answers to these were "satisfied". */
  readonly satisfied: number;
  /** Tokens of writes that were not lost, and how many are satisfied. */
  readonly kept: number;
  readonly keptSatisfied: number;
  /** The same for writes and decisions after the loss. */
  readonly own: number;
  readonly ownSatisfied: number;
}

/** Opens a server; `parts` closes it again. */
export async function openServed(url: string, parts: AsyncDisposableStack): Promise<Served> {
  const database = databaseOn(await openPostgresql(url, () => {}));
  parts.defer(() => database.close());
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on("error", () => {});
  parts.defer(() => pool.end());
  return { database, pool };
}

/** Tokens of what a server is about to lose, and how to ask for them. */
export class LostTokens {
  readonly #way: Way;
  readonly #served: Served;
  readonly #tokens: ConsistencyToken[] = [];
  readonly #probes: Probe[] = [];
  #position = "0/0";

  constructor(way: Way, served: Served) {
    this.#way = way;
    this.#served = served;
  }

  async add(...tokens: readonly ConsistencyToken[]): Promise<void> {
    this.#tokens.push(...tokens);
    this.#probes.push(...(await prepareAll(this.#way, tokens, this.#served.pool)));
  }

  /** Mutes users one after the other, and asks for a decision about each. */
  async addMutes(owner: UserId, targets: readonly UserId[]): Promise<void> {
    const { database, pool } = this.#served;
    for (const target of targets) {
      const { token } = await database.mutes.mute(owner, target);
      const nothing = await database.blocks.unblock(owner, target);
      await this.add(token, nothing, await stateOf(database, owner, target));
    }
    this.#position = (await pool.query("select pg_current_wal_insert_lsn()::text as lsn")).rows[0].lsn;
  }

  /**
   * Makes other writes on a server that has lost the tokens, until its transaction ids and log positions are beyond theirs,
   * and asks for the tokens after each.
   */
  async askFor(
    now: Served,
    kept: readonly Probe[],
    owner: UserId,
    targets: readonly UserId[],
  ): Promise<LostWrites> {
    const xids = this.#tokens.map((token) => (token.kind === "write" ? token.xid : token.snapshot.next));
    const lastXid = xids.reduce((a, b) => (a > b ? a : b));
    let [satisfied, own, ownSatisfied] = [0, 0, 0];
    for (let round = 0; ; round++) {
      const pair = [targets[round % targets.length] as UserId, owner] as const;
      const token = await (round % (2 * targets.length) < targets.length
        ? now.database.follows.follow(...pair)
        : now.database.follows.unfollow(...pair));
      await now.database.changes.tick({ force: true });
      for (const mine of [token, await stateOf(now.database, ...pair)]) {
        own += 1;
        if (await now.database.consistency.isSatisfied(mine)) ownSatisfied += 1;
      }
      satisfied += await countSatisfied(this.#probes, now.pool);
      const { rows } = await now.pool.query(
        "select pg_current_xact_id()::text as xid, pg_current_wal_insert_lsn() > $1::pg_lsn as is_beyond",
        [this.#position],
      );
      if (BigInt(rows[0].xid) > lastXid && rows[0].is_beyond && round >= targets.length) break;
      await setTimeout(1);
    }
    return {
      lost: this.#probes.length,
      satisfied,
      kept: kept.length,
      keptSatisfied: await countSatisfied(kept, now.pool),
      own,
      ownSatisfied,
    };
  }
}

/** How to ask for tokens. */
export function prepareAll(
  way: Way,
  tokens: readonly ConsistencyToken[],
  primary: pg.Pool,
): Promise<Probe[]> {
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
export async function stateOf(database: Database, viewer: UserId, owner: UserId): Promise<ConsistencyToken> {
  const [facts] = await database.relationshipFacts.read([{ viewer, owner, muteScope: 1, setting: null }]);
  if (facts === undefined) throw new Error("a decision without facts");
  return facts.state;
}

/** What must hold after writes were lost. */
export function lostFigures(
  how: string,
  { lost, satisfied, kept, keptSatisfied, own, ownSatisfied }: LostWrites,
): Figure[] {
  const figure = figuresOf(`writes lost by ${how}`);
  return [
    figure("tokens of lost writes", lost, { atLeast: 10 }),
    figure("of these satisfied", satisfied, { atMost: 0 }),
    figure("tokens of kept writes not satisfied", kept - keptSatisfied, { atMost: 0 }),
    figure("own tokens", own, { atLeast: 10 }),
    figure("own tokens not satisfied", own - ownSatisfied, { atMost: 0 }),
  ];
}
