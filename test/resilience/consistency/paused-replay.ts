import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { ConsistencyToken } from "../../../src/domain/consistency.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type Database, databaseOn } from "../../../src/store/database.ts";
import { openPostgresql } from "../../../src/store/postgresql.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { type Random, randomOf } from "../support/random.ts";
import { type Figure, figuresOf } from "../support/report.ts";
import { addUsers } from "./users.ts";
import type { Probe, Way } from "./ways.ts";

const writers = 8;
const targetCount = 4_000;
/** A statement of the standby takes up to this time after its snapshot was taken. */
const maxStatementMs = 20;

/** What the standby must show when it says that it has a token: so many mutes of a user, or more. */
interface Expected {
  readonly owner: UserId;
  readonly mutes: number;
}

/** The answers of the standby for the tokens of writes, and of decisions and of writes that changed nothing. */
interface Answers {
  asked: number;
  satisfied: number;
  /** "Satisfied" while something that the token covers is missing. */
  wrong: number;
}

type AnswersByKind = Record<ConsistencyToken["kind"], Answers>;

interface Options {
  readonly seed: number;
  readonly lastsMs: number;
  readonly way: Way;
}

/**
 * Eight writers ask a standby for each of their changes and for decisions about each other, while its replay is paused and
 * resumed at random and a transaction is open on the primary most of the time.
 */
export async function pauseReplay({ seed, lastsMs, way }: Options): Promise<AnswersByKind> {
  await using parts = new AsyncDisposableStack();
  const primary = await startThrowawayServer();
  parts.defer(() => primary.stop());
  const database = databaseOn(await openPostgresql(primary.url, () => {}));
  parts.defer(() => database.close());
  await database.migrate();
  const owners = await addUsers(database, writers);
  const targets = await addUsers(database, targetCount);
  const standby = await startThrowawayServer({ standbyOf: primary.url });
  parts.defer(() => standby.stop());
  const poolOf = ({ url }: { readonly url: string }) => {
    const pool = new pg.Pool({ connectionString: url, max: writers + 2 });
    parts.defer(() => pool.end());
    return pool;
  };
  const [atPrimary, atStandby] = [poolOf(primary), poolOf(standby)];

  const random = randomOf(seed);
  const end = performance.now() + lastsMs;
  const whileItLasts = async (step: () => Promise<unknown>) => {
    while (performance.now() < end) await step();
  };
  const pausing = whileItLasts(async () => {
    await atStandby.query("select pg_wal_replay_pause()");
    await setTimeout(random.below(300));
    await atStandby.query("select pg_wal_replay_resume()");
    await setTimeout(random.below(300));
  });
  const ticking = whileItLasts(async () => {
    await database.changes.tick();
    await setTimeout(25);
  });
  const holding = whileItLasts(() => holdTransaction(atPrimary, random.below(1_000)));

  const answers: AnswersByKind = {
    write: { asked: 0, satisfied: 0, wrong: 0 },
    state: { asked: 0, satisfied: 0, wrong: 0 },
  };
  const made = owners.map(() => 0);
  const writing = owners.map((_, writer) =>
    whileItLasts(async () => {
      const [token, expected] = await act(database, random, { owners, targets, made, writer });
      const probe = await way.prepare(token, atPrimary);
      const answer = answers[token.kind];
      for (let left = 1 + random.below(4); left > 0; left--) {
        const { isSatisfied, mutes } = await ask(
          atStandby,
          probe,
          expected.owner,
          random.below(maxStatementMs),
        );
        answer.asked += 1;
        if (!isSatisfied) continue;
        answer.satisfied += 1;
        if (mutes < expected.mutes) answer.wrong += 1;
      }
    }),
  );
  await Promise.all([pausing, ticking, holding, ...writing]);
  return answers;
}

interface Writers {
  readonly owners: readonly UserId[];
  readonly targets: readonly UserId[];
  /** How many mutes of each owner are acknowledged. They are made in the order of the targets. */
  readonly made: number[];
  readonly writer: number;
}

/** Makes a change, a write that changes nothing, or a decision about another writer. */
async function act(
  database: Database,
  random: Random,
  { owners, targets, made, writer }: Writers,
): Promise<[ConsistencyToken, Expected]> {
  const owner = owners[writer] as UserId;
  const what = random.below(5);
  if (what < 3) {
    const number = made[writer] as number;
    const { token } = await database.mutes.mute(owner, targets[number] as UserId);
    made[writer] = number + 1;
    return [token, { owner, mutes: number + 1 }];
  }
  if (what === 3) {
    const token = await database.mutes.unmute(owner, targets.at(-1) as UserId);
    return [token, { owner, mutes: made[writer] as number }];
  }
  const other = random.below(owners.length);
  const viewer = owners[other] as UserId;
  const number = made[other] as number;
  const query = { viewer, owner: targets[number] as UserId, muteScope: 1, setting: null };
  const [facts] = await database.relationshipFacts.read([query]);
  if (facts === undefined) throw new Error("a decision without facts");
  return [facts.state, { owner: viewer, mutes: facts.muting ? number + 1 : number }];
}

/** Asks a server whether it has what a token names, and for its effect, in one statement that takes a while. */
async function ask(server: pg.Pool, probe: Probe, owner: UserId, takesMs: number) {
  const shifted = probe.sql.replaceAll(/\$(\d+)/g, (_, number) => `$${Number(number) + 2}`);
  const { rows } = await server.query(
    `with slow as materialized (select pg_sleep($1))
    select probe.*, (select count(*)::int from mutes where muter_id = $2) as mutes from slow, lateral (${shifted}) probe`,
    [takesMs / 1_000, owner, ...probe.values],
  );
  const [row] = rows;
  return { isSatisfied: probe.isSatisfied(row), mutes: row.mutes as number };
}

async function holdTransaction(server: pg.Pool, ms: number): Promise<void> {
  const client = await server.connect();
  try {
    await client.query("begin");
    await client.query("select pg_current_xact_id()");
    await setTimeout(ms);
    await client.query("commit");
  } finally {
    client.release();
  }
}

/** What must hold of the answers. Some must be "satisfied", or nothing was tried. */
export function pausedFigures(answers: AnswersByKind): Figure[] {
  return (["write", "state"] as const).flatMap((kind) => {
    const figure = figuresOf(`paused replay, tokens of a ${kind}`);
    const { asked, satisfied, wrong } = answers[kind];
    return [
      figure("asked", asked, { atLeast: 50 }),
      figure("satisfied", satisfied, { atLeast: 10 }),
      figure("satisfied without the effect", wrong, { atMost: 0 }),
    ];
  });
}
