import pg from "pg";
import { idSql, userId } from "../../bench/data/users.ts";

/** Users who call, users whom they know or have blocked, and users whom they block during the run. */
const sizes = { callers: 500, known: 2_000, others: 500 };
/** How many of those they know each caller has blocked: the rows of a list. */
export const blockedEach = 50;

export const callers = Array.from({ length: sizes.callers }, (_, n) => userId(n));
/** The users whom a caller knows, the blocked ones first. */
export function knownTo(caller: number, count: number): string[] {
  return Array.from({ length: count }, (_, k) =>
    userId(sizes.callers + ((caller * blockedEach + k) % sizes.known)),
  );
}
/** Users whom no decision is about. Each caller has blocked the one of its own number. */
export const others = Array.from({ length: sizes.others }, (_, n) => userId(sizes.callers + sizes.known + n));

/** Puts them all into a database that is prepared. */
export async function populate(databaseUrl: string): Promise<void> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client.query(`
    insert into users
    select ${idSql("n")}, 'user' || n, 'First' || n, 'Last' || n, array['https://pictures.example/' || n], false
    from generate_series(0, ${sizes.callers + sizes.known + sizes.others - 1}) n`);
  await client.query(`
    insert into blocks (blocker_id, blocked_id, id, created_at)
    select ${idSql("caller")}, ${idSql(`${sizes.callers} + (caller * ${blockedEach} + k) % ${sizes.known}`)},
      gen_random_uuid(), now() - k * interval '1 day'
    from generate_series(0, ${sizes.callers - 1}) caller, generate_series(0, ${blockedEach - 1}) k`);
  await client.query(`
    insert into blocks (blocker_id, blocked_id, id, created_at)
    select ${idSql("caller")}, ${idSql(`${sizes.callers + sizes.known} + caller`)}, gen_random_uuid(), now()
    from generate_series(0, ${sizes.callers - 1}) caller`);
  await client.query("vacuum analyze");
  await client.end();
}
