import { Migration } from "@mikro-orm/migrations";

/** A table whose rows are logged: a state for each key of `owner`, `target` and `setting`. */
interface LoggedTable {
  readonly name: string;
  readonly kind: string;
  /** Columns of the log, and the column of the table that each is taken from. */
  readonly key: Readonly<Record<string, string>>;
  readonly state: Readonly<Record<string, string>>;
  /** The cause of the removal of `old`, where it is not the cause of the transaction. */
  readonly removalCause?: string;
}

const lapsed = "case when old.expires_at <= statement_timestamp() then 'expiry' else cause end";

const loggedTables: readonly LoggedTable[] = [
  {
    name: "blocks",
    kind: "block",
    key: { owner: "blocker_id", target: "blocked_id" },
    state: { created_at: "created_at", expires_at: "expires_at" },
    removalCause: lapsed,
  },
  {
    name: "mutes",
    kind: "mute",
    key: { owner: "muter_id", target: "muted_id" },
    state: { created_at: "created_at", expires_at: "expires_at", scopes: "scopes" },
    removalCause: lapsed,
  },
  {
    name: "follows",
    kind: "follow",
    key: { owner: "follower_id", target: "followee_id" },
    state: { created_at: "created_at" },
    // Users and imports remove follows by blocks only.
    removalCause: "case when cause in ('user', 'import') then 'block' else cause end",
  },
  {
    name: "privacy_settings",
    kind: "setting",
    key: { owner: "user_id", setting: "setting" },
    state: { audience: "audience" },
  },
  {
    name: "privacy_exceptions",
    kind: "exception",
    key: { owner: "user_id", setting: "setting", target: "excepted_id" },
    state: { created_at: "created_at" },
  },
];

const events = ["insert", "update", "delete"] as const;

/**
 * Expiring blocks and mutes, the erasure of users in several transactions, and the change log: what holds of each key after
 * each change, written by triggers, so that no path can leave it out.
 */
export class ChangeLog extends Migration {
  override up(): void {
    // First: decisions go on meanwhile. They wait from the first `alter table` to the end, which takes no longer than to
    // read the tables once.
    this.addSql("create index blocks_blocked_id_blocker_id_index on blocks (blocked_id, blocker_id)");
    this.addSql("alter table blocks add column expires_at timestamptz not null default 'infinity'");
    this.addSql("alter table mutes add column expires_at timestamptz not null default 'infinity'");
    this.addSql("alter table mutes add column scopes smallint not null default -1");
    this.addSql("create index blocks_expiry_index on blocks (expires_at) where expires_at < 'infinity'");
    this.addSql("create index mutes_expiry_index on mutes (expires_at) where expires_at < 'infinity'");
    this.addSql("drop index blocks_blocked_id_index");
    this.addSql("alter table users add column erased_at timestamptz");
    this.addSql("create index users_erased_at_index on users (erased_at) where erased_at is not null");

    this.addSql(`create table changes (
      xid xid8 not null default pg_current_xact_id(),
      seq bigint not null generated always as identity,
      at timestamptz not null default now(),
      kind text not null,
      cause text,
      owner uuid not null,
      target uuid,
      present boolean not null,
      created_at timestamptz,
      expires_at timestamptz,
      scopes smallint,
      setting text,
      audience text,
      primary key (xid, seq)
    )`);
    this.addSql(`create table ticks (
      id bigint not null primary key,
      snapshot pg_snapshot not null,
      at timestamptz not null default statement_timestamp(),
      nonce uuid not null default gen_random_uuid(),
      server_started_at timestamptz not null default pg_postmaster_start_time()
    )`);
    this.addSql(`create table erasures (
      user_id uuid not null primary key,
      seq bigint not null
    )`);

    // For each row: a statement that changes no row costs nothing. What an erasure deletes is not logged: that the user is
    // unknown says it of all.
    for (const table of loggedTables) {
      this.addSql(changeFunction(`log_${table.name}`, logging(table)));
      this.addSql(`create trigger log_${table.name} after insert or update or delete on ${table.name}
        for each row when (current_setting('privacy.cause', true) is distinct from 'erasure')
        execute function log_${table.name}()`);
    }
    // For each statement: most upserts of a thousand users make none of them known or erased.
    this.addSql(changeFunction("log_users", userLogging));
    for (const event of events) {
      const rows = [
        event !== "insert" && "old table as old_rows",
        event !== "delete" && "new table as new_rows",
      ];
      this.addSql(`create trigger log_users_${event} after ${event} on users
        referencing ${rows.filter(Boolean).join(" ")} for each statement execute function log_users()`);
    }

    // A truncated table has no rows to log: watchers must begin with a snapshot. To truncate the ticks waits for those that are
    // being stored, and lets none be stored until the transaction ends: one that does not see the truncate would go on with the
    // history.
    this.addSql(
      functionInSchema(`reset_change_log() returns trigger language plpgsql as $$
        begin
          truncate {schema}.ticks;
          delete from {schema}.changes;
          return null;
        end $$`),
    );
    for (const name of [...loggedTables.map((table) => table.name), "users"])
      this.addSql(`create trigger reset_change_log after truncate on ${name}
        for each statement execute function reset_change_log()`);
  }
}

/**
 * Creates a function that names tables with their schema, as `{schema}`: one that sets the search path takes longer for each
 * call.
 */
function functionInSchema(definition: string): string {
  return `do $do$ begin
    execute replace($fn$create function ${definition}$fn$, '{schema}', quote_ident(current_schema()));
  end $do$`;
}

/** A trigger function. Its body has the transaction's cause as `cause`. */
function changeFunction(name: string, body: string): string {
  return functionInSchema(`${name}() returns trigger language plpgsql as $$
    declare
      cause text := nullif(current_setting('privacy.cause', true), '');
    begin
      ${body}
      return null;
    end $$`);
}

/** Logs what holds after a change of a row. A change of its key is the removal of one and the addition of another. */
function logging({ kind, key, state, removalCause = "cause" }: LoggedTable): string {
  const values = (row: string, columns: Readonly<Record<string, string>>) =>
    Object.values(columns)
      .map((column) => `${row}.${column}`)
      .join(", ");
  const all = { ...key, ...state };
  const added = `insert into {schema}.changes (kind, cause, present, ${Object.keys(all).join(", ")})
    values ('${kind}', cause, true, ${values("new", all)});`;
  const removed = `insert into {schema}.changes (kind, cause, present, ${Object.keys(key).join(", ")})
    values ('${kind}', ${removalCause}, false, ${values("old", key)});`;
  return `case tg_op
    when 'INSERT' then ${added}
    when 'DELETE' then ${removed}
    else
      if (${values("old", key)}) <> (${values("new", key)}) then ${removed} end if;
      if (${values("old", all)}) <> (${values("new", all)}) then ${added} end if;
    end case;`;
}

/**
 * Logs which users become known and which are erased: when the row is marked so, and when it is deleted. Both, since rows
 * that name a marked user may be changed by hand in between. A row without a name is the lock of an unknown user. An erasure
 * is noted, for the earlier rows of the user to be scrubbed from the log.
 */
const userLogging = (() => {
  const erased = (rows: string) => `
    with logged as (
      insert into {schema}.changes (kind, cause, owner, present) ${rows} returning owner, seq
    )
    insert into {schema}.erasures (user_id, seq) select owner, seq from logged
    on conflict (user_id) do update set seq = excluded.seq`;
  return `case tg_op
    when 'INSERT' then
      insert into {schema}.changes (kind, cause, owner, present)
      select 'user', cause, n.id, true from new_rows n where n.user_name <> '';
    when 'DELETE' then
      ${erased(`select 'user', cause, o.id, false from old_rows o where o.user_name <> ''`)};
    else
      ${erased(`select 'user', cause, o.id, false from old_rows o
        where o.erased_at is null
          and not exists (select from new_rows n where n.id = o.id and n.erased_at is null)`)};
      insert into {schema}.changes (kind, cause, owner, present)
      select 'user', cause, n.id, true from new_rows n
      where n.erased_at is null
        and not exists (select from old_rows o where o.id = n.id and o.erased_at is null);
    end case;`;
})();
