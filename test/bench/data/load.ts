import type pg from "pg";
import type { Size } from "./sizes.ts";
import { idSql, specialUsers } from "./users.ts";

/** The edge tables with the columns of owner and target, and what else a row has. */
const tables = [
  { name: "blocks", owner: "blocker_id", target: "blocked_id", more: ", id", value: ", gen_random_uuid()" },
  { name: "mutes", owner: "muter_id", target: "muted_id", more: ", id", value: ", gen_random_uuid()" },
  { name: "follows", owner: "follower_id", target: "followee_id", more: "", value: "" },
] as const;

const time = "now() - random() * interval '1 year'";

/**
 * Fills migrated, empty tables, whose indexes are made anew afterwards. Some users have thousands of edges, most a
 * few, as in a social network. Needs a superuser: the foreign keys hold by construction and are not checked.
 */
export async function loadData(client: pg.Client, size: Size, say: (what: string) => void): Promise<void> {
  const special = specialUsers(size);
  await client.query("set session_replication_role = replica; set maintenance_work_mem = '512MB'");
  await client.query("set work_mem = '512MB'; select setseed(0.42)");
  say(`${special.count.toLocaleString("en")} users`);
  await client.query(`
    insert into users
    select ${idSql("n")}, 'user' || n, 'First' || n, 'Last' || n,
      array['https://pictures.example/' || n || '/large.jpg', 'https://pictures.example/' || n || '/small.jpg'],
      n % 50 = 0
    from generate_series(0, ${special.count - 1}) n`);
  for (const table of tables) {
    say(`${size[table.name].toLocaleString("en")} ${table.name}`);
    const restore = await dropIndexes(client, table.name);
    await client.query(edges(table, size));
    if (table.name === "blocks") {
      for (const [index, count] of size.viewers.entries())
        await client.query(blocksOf(special.viewers[index] ?? 0, count));
      await client.query(blocksOf(special.longest, size.longest));
    }
    for (const statement of restore) await client.query(statement);
  }
  say("settings, exceptions, statistics");
  await client.query(`
    insert into privacy_settings
    select ${idSql("n")}, setting, (array['all', 'contacts', 'contact_blacklist', 'none'])[1 + floor(random() * 4)::int]
    from generate_series(0, ${size.users - 1}, 5) n,
      unnest(array['last_seen', 'profile_picture', 'status', 'read_receipts', 'groups']) setting
    where random() < 0.5`);
  await client.query(`
    insert into privacy_exceptions
    select s.user_id, s.setting, f.followee_id, now()
    from privacy_settings s cross join lateral (
      select followee_id from follows where follower_id = s.user_id order by followee_id limit 3
    ) f
    where s.audience = 'contact_blacklist'`);
  await client.query("vacuum (freeze, analyze)");
  await client.query("checkpoint");
}

/** Edges between random users, most of them of few owners; exactly as many as asked for. */
function edges({ name, owner, target, more, value }: (typeof tables)[number], size: Size): string {
  const count = size[name];
  return `
    insert into ${name} (${owner}, ${target}${more}, created_at)
    select ${idSql("o")}, ${idSql("t")}${value}, ${time}
    from (
      select distinct floor(${size.users} * power(random(), 3))::int as o, floor(${size.users} * random())::int as t
      from generate_series(1, ${Math.ceil(count * 1.1)})
    ) pairs
    where o <> t limit ${count}`;
}

function blocksOf(owner: number, count: number): string {
  return `
    insert into blocks (blocker_id, blocked_id, id, created_at)
    select ${idSql(String(owner))}, ${idSql("n")}, gen_random_uuid(), ${time} from generate_series(0, ${count - 1}) n`;
}

/** Drops the primary key and the indexes of a table; returns the statements that make them again. */
async function dropIndexes(client: pg.Client, table: string): Promise<string[]> {
  const { rows: keys } = await client.query(
    `select conname, pg_get_constraintdef(oid) as definition from pg_constraint
     where conrelid = $1::regclass and contype = 'p'`,
    [table],
  );
  const { rows: indexes } = await client.query(
    `select indexrelid::regclass as name, pg_get_indexdef(indexrelid) as definition from pg_index
     where indrelid = $1::regclass and not indisprimary`,
    [table],
  );
  for (const { conname } of keys) await client.query(`alter table ${table} drop constraint ${conname}`);
  for (const { name } of indexes) await client.query(`drop index ${name}`);
  return [
    ...keys.map(({ conname, definition }) => `alter table ${table} add constraint ${conname} ${definition}`),
    ...indexes.map(({ definition }) => definition),
  ];
}
