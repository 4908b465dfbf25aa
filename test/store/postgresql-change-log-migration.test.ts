import { readFileSync } from "node:fs";
import { MikroORM } from "@mikro-orm/postgresql";
import { expect } from "chai";
import { sql } from "kysely";
import pg from "pg";
import type { Change } from "../../src/domain/changes.ts";
import type { UserId } from "../../src/domain/users.ts";
import { ormOptions } from "../../src/store/migrations/migrate.ts";
import { statementKind } from "../../src/store/statement.ts";
import { postgresUrl } from "../support/cluster.ts";
import { statementsOf } from "../support/statements.ts";
import { changesBetween, forcedTick, stateOf } from "./suite/changes.ts";
import { storeOperations } from "./suite/operations.ts";
import { onPostgresql, openPostgresStore, type PostgresStore } from "./suite/postgresql.ts";

interface Operation {
  readonly name: string;
  readonly statements: readonly { readonly sql: string; readonly parameters: readonly unknown[] }[];
}

/** The statements of the version before the change log, for the users 1 to 6. */
const previous: readonly Operation[] = JSON.parse(
  readFileSync(new URL("previous-statements.json", import.meta.url), "utf8"),
);
const user = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}` as UserId;

describe("the migration to the change log", () => {
  const store = onPostgresql();

  it("draws the sequence numbers of changes one by one: their order is that of the changes of a key", async () => {
    const { rows } = await store().admin.query(`
      select seqcache::int, seqcycle from pg_sequence
      where seqrelid = pg_get_serial_sequence('changes', 'seq')::regclass`);
    expect(rows).to.eql([{ seqcache: 1, seqcycle: false }]);
  });

  it("logs every change of the tables on which decisions rest, and of all that refer to users", async () => {
    const [actor, target, owner, ...others] = (await store().newUsers(5)) as [UserId, UserId, UserId];
    const operations = Object.entries(storeOperations({ actor, target, owner, others }));
    const decisions = operations.filter(([name]) => /\bchecks?\b|hidden|load of the graph/.test(name));
    expect(decisions).to.have.length.above(4);
    const read = await statementsOf(store().url, async (database) => {
      for (const [, decide] of decisions) await decide(database);
    });
    const { rows: referring } = await store().admin.query(`
      select conrelid::regclass::text as name from pg_constraint
      where contype = 'f' and confrelid = 'users'::regclass`);
    const names = new Set([
      ...read.flatMap(({ sql }) => statementKind(sql).tables),
      ...referring.map(({ name }) => name as string),
    ]);
    // What was answered, not what holds.
    names.delete("idempotency_keys");
    expect(names).to.include.all.keys("users", "blocks", "mutes", "follows", "privacy_exceptions");
    for (const name of names) {
      const { rows } = await store().admin.query(
        `select p.proname as function, e.event
        from pg_trigger t join pg_proc p on p.oid = t.tgfoid
        cross join (values (4, 'insert'), (8, 'delete'), (16, 'update'), (32, 'truncate')) e (bit, event)
        where t.tgrelid = $1::regclass and not t.tgisinternal and t.tgenabled = 'O'
          -- Whatever the change, but for the rows of an erasure.
          and (t.tgqual is null or pg_get_triggerdef(t.oid) like
            '% WHEN ((current_setting(''privacy.cause''::text, true) IS DISTINCT FROM ''erasure''::text)) EXECUTE %')
          -- After it.
          and t.tgtype & 2 = 0 and t.tgtype & e.bit > 0
        order by e.bit`,
        [name],
      );
      const log = `log_${name}`;
      expect(rows, name).to.eql([
        { function: log, event: "insert" },
        { function: log, event: "delete" },
        { function: log, event: "update" },
        { function: "reset_change_log", event: "truncate" },
      ]);
    }
  });

  describe("of a database with data", () => {
    let populated: PostgresStore;
    let admin: pg.Client;
    before(async function () {
      const url = await postgresUrl();
      if (url === undefined) return this.skip();
      admin = new pg.Client({ connectionString: url });
      await admin.connect();
      await admin.query(`create table migrations (
        id serial primary key, name varchar(255) not null, executed_at timestamptz(6) not null default now())`);
      const orm = await MikroORM.init({ ...ormOptions(() => {}), clientUrl: url });
      await orm.migrator.up({ to: "0005-drop-rate-debts" });
      await orm.close();
      for (let number = 1; number <= 6; number++)
        await admin.query(`insert into users values ('${user(number)}', 'user', '', '', '{}', false)`);
      for (const table of ["blocks", "mutes"])
        await admin.query(
          `insert into ${table} values ('${user(4)}', '${user(5)}', gen_random_uuid(), now())`,
        );
      await admin.query(`insert into follows values ('${user(5)}', '${user(6)}', now())`);
      await admin.query(`insert into privacy_settings values ('${user(4)}', 'groups', 'none')`);
      populated = await openPostgresStore(url);
    });
    after(async () => {
      await admin?.end();
      await populated?.close();
    });

    it("keeps everything, for ever and for all that a mute can cover", async () => {
      expect(await populated.migrate()).to.include("0006-change-log");
      const state = await stateOf(populated, 2);
      expect(state.map(({ kind }) => kind)).to.eql([
        ...["user", "user", "user", "user", "user", "user"],
        ...["setting", "block", "mute", "follow"],
      ]);
      for (const change of state)
        if ("edge" in change) expect(change.edge).to.include({ expiresAt: null, scopes: -1 });
      expect((await populated.changes.newestTick()).id).to.equal(1n);
      expect((await populated.query(sql`select from changes`)).length).to.equal(0);
    });

    for (const { name, statements } of previous) {
      it(`lets the previous version go on: ${name}`, async () => {
        for (const { sql: text, parameters } of statements) await admin.query(text, parameters.map(toValue));
      });
    }

    it("logs what the previous version changed", async () => {
      const tick = await populated.changes.newestTick();
      const changes = await changesBetween(populated, tick, await forcedTick(populated));
      expect(new Set(changes.map(({ kind }) => kind))).to.have.all.keys(
        ...["block", "mute", "follow", "setting", "exception", "user"],
      );
      const ofUsers = changes.filter((change) => change.kind === "user");
      expect(ofUsers).to.have.length(1);
      expect(ofUsers[0]).to.include({ owner: user(3), present: false });
      // Who follows the log has the same as the tables.
      const copy = new Map<string, Change>();
      for (const change of changes) copy.set(keyOf(change), change);
      const state = new Map((await stateOf(populated, 100)).map((change) => [keyOf(change), change]));
      for (const [key, change] of copy) {
        if (key.includes(user(3))) expect(state.has(key), key).to.equal(false);
        else expect(holds(change), key).to.equal(state.has(key));
      }
    });
  });
});

function toValue(value: unknown): unknown {
  return typeof value === "object" && value !== null && "hex" in value
    ? Buffer.from(String(value.hex), "hex")
    : value;
}

function keyOf(change: Change): string {
  const target = "target" in change ? change.target : "";
  const setting = "setting" in change ? change.setting : "";
  return [change.kind, change.owner, setting, target].join(" ");
}

function holds(change: Change): boolean {
  if ("edge" in change) return change.edge !== null;
  return change.kind === "setting" ? change.audience !== null : change.present;
}
