import pg from "pg";
import type { UserId } from "../../../src/domain/users.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { until } from "../../support/until.ts";
import type { Figure } from "../support/report.ts";
import { killServer } from "../support/server-faults.ts";
import { LostTokens, lostFigures, openServed, prepareAll, stateOf } from "./lost-tokens.ts";
import { addUsers } from "./users.ts";
import type { Way } from "./ways.ts";

/** Promotes a standby that lacks the last writes, and asks it for tokens of these. */
async function byFailover(writes: number, way: Way): Promise<Figure[]> {
  await using parts = new AsyncDisposableStack();
  const primary = await startThrowawayServer();
  parts.defer(() => primary.stop());
  const old = await openServed(primary.url, parts);
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
  const { token } = await old.database.mutes.mute(owner, late);
  await old.database.changes.tick({ force: true });
  const kept = await prepareAll(way, [token], old.pool);
  await until(async () => (await atStandby.query("select from mutes")).rowCount === 1);
  await atStandby.query("alter system set primary_conninfo = ''");
  await atStandby.query("select pg_reload_conf()");
  await until(async () => (await atStandby.query("select from pg_stat_wal_receiver")).rowCount === 0);

  await first.query("commit");
  const lost = new LostTokens(way, old);
  await lost.add(await stateOf(old.database, owner, early));
  await lost.addMutes(owner, targets.slice(0, writes));
  await killServer(primary);

  await atStandby.query("select pg_promote()");
  const now = await openServed(standby.url, parts);
  return lostFigures("a failover", await lost.askFor(now, kept, owner, targets.slice(writes)));
}

/**
 * Kills the process of a server that writes commits to its log, before it writes the last ones: the server starts all of its
 * processes again, without these commits and with the same time of start.
 */
async function byCrash(writes: number, way: Way): Promise<Figure[]> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer({
    settings: ["synchronous_commit=off", "bgwriter_lru_maxpages=0", "autovacuum=off"],
  });
  parts.defer(() => server.stop());
  const served = await openServed(server.url, parts);
  await served.database.migrate();
  const [owner, early, ...targets] = (await addUsers(served.database, 2 + 2 * writes)) as [
    UserId,
    UserId,
    ...UserId[],
  ];
  const { token } = await served.database.mutes.mute(owner, early);
  const kept = await prepareAll(way, [token], served.pool);
  const { rows } = await served.pool.query(
    "select pid from pg_stat_activity where backend_type = 'walwriter'",
  );
  process.kill(rows[0].pid, "SIGSTOP");
  await served.pool.query("checkpoint");

  const lost = new LostTokens(way, served);
  await lost.addMutes(owner, targets.slice(0, writes));
  process.kill(rows[0].pid, "SIGKILL");
  const mutes = () => served.pool.query("select from mutes").catch(() => ({ rowCount: undefined }));
  await until(async () => (await mutes()).rowCount === 1);
  return lostFigures("a crash", await lost.askFor(served, kept, owner, targets.slice(writes)));
}

/** The ways in which a server loses so many writes that it has acknowledged. No token of them may be satisfied. */
export const losses = { "a failover": byFailover, "a crash": byCrash };
