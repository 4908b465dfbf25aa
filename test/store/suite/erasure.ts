import { expect } from "chai";
import { sql } from "kysely";
import type { UserId } from "../../../src/domain/users.ts";
import { type TestStore, tally } from "./store.ts";

interface Column {
  readonly table_name: string;
  readonly column_name: string;
}

/** Lets more users mute a user than one transaction of an erasure deletes. */
export async function addCrowd(store: TestStore, user: UserId): Promise<void> {
  await store.query(sql`
    insert into users select gen_random_uuid(), 'crowd', '', '', '{}', false from generate_series(1, 10050)`);
  await store.query(sql`
    insert into mutes (muter_id, muted_id, id, created_at)
    select id, ${user}, gen_random_uuid(), now() from users where user_name = 'crowd'`);
}

export function describeErasure(store: () => TestStore): void {
  describe("erasing a user", () => {
    const columnsNamedAfterUsers = sql<Column>`
      select table_name, column_name from information_schema.columns
      where table_schema = 'public' and data_type = 'uuid' and (column_name like '%\\_id' or table_name = 'users')
        and table_name <> 'erasures'
      order by 1, 2`;

    it("leaves no row that mentions the user in any table", async () => {
      const [user, other, third] = (await store().newUsers(3)) as [UserId, UserId, UserId];
      await store().follows.follow(user, other);
      await store().follows.follow(other, user);
      await store().mutes.mute(user, other, undefined, "key");
      await store().mutes.mute(other, user, undefined, "key");
      await store().blocks.block(user, third);
      await store().blocks.block(third, user);
      await store().settings.set(user, "groups", "none");
      await store().settings.set(other, "groups", "none");
      await store().exceptions.update(user, "groups", { add: [other], remove: [] });
      await store().exceptions.update(other, "groups", { add: [user], remove: [] });
      await store().blocks.block(third, other);

      const columns = await store().query(columnsNamedAfterUsers);
      const mentions = async () => {
        const counts: Record<string, number> = {};
        for (const { table_name, column_name } of columns) {
          const rows = await store().query(
            sql`select from ${sql.table(table_name)} where ${sql.ref(column_name)} = ${user}`,
          );
          counts[`${table_name}.${column_name}`] = rows.length;
        }
        return counts;
      };
      for (const [column, count] of Object.entries(await mentions())) expect(count, column).to.equal(1);
      await store().users.delete(user);
      for (const [column, count] of Object.entries(await mentions())) expect(count, column).to.equal(0);

      expect(await store().blocks.list(third, 10)).to.have.length(1);
      expect((await store().settings.get(other)).groups).to.equal("none");
    });

    it("erases a user of more edges than one statement takes", async () => {
      const [user, other] = (await store().newUsers(2)) as [UserId, UserId];
      await store().query(sql`
        with crowd as (
          insert into users select gen_random_uuid(), 'crowd', '', '', '{}', false from generate_series(1, 10050)
          returning id
        )
        select id from crowd`);
      await store().query(sql`
        insert into blocks select ${user}, id, gen_random_uuid(), now() from users where user_name = 'crowd'`);
      await store().query(sql`insert into blocks values (${other}, ${user}, gen_random_uuid(), now())`);
      await store().users.delete(user);
      expect(await store().query(sql`select from blocks where ${user} in (blocker_id, blocked_id)`)).to.eql(
        [],
      );
      expect(await store().blocks.list(other, 10)).to.eql([]);
      await store().query(sql`delete from users where user_name = 'crowd'`);
    });

    it("is enforced by a foreign key on every such column", async () => {
      const referencing = await store().query(sql<Column>`
        select constrained.table_name, constrained.column_name
        from information_schema.referential_constraints r
        join information_schema.key_column_usage constrained using (constraint_schema, constraint_name)
        join information_schema.constraint_column_usage referenced using (constraint_schema, constraint_name)
        where referenced.table_name = 'users' and r.delete_rule = 'CASCADE'
        order by 1, 2`);
      const columns = await store().query(columnsNamedAfterUsers);
      expect(referencing).to.eql(columns.filter(({ table_name }) => table_name !== "users"));
      expect(referencing).to.have.length(11);
    });

    it("races with a block, a mute, a follow and a setting without an orphan or a raw error", async () => {
      for (let round = 0; round < 25; round++) {
        const [user, other] = (await store().newUsers(2)) as [UserId, UserId];
        const outcomes = await tally([
          store().blocks.block(other, user),
          store().mutes.mute(other, user, undefined, "key"),
          store().mutes.mute(user, other, undefined, "key"),
          store().users.delete(user),
          store().mutes.mute(other, user, undefined, "key"),
          store().follows.follow(user, other),
          store().blocks.block(user, other),
          store().settings.set(user, "groups", "none"),
          store().exceptions.update(other, "groups", { add: [user], remove: [] }),
        ]);
        // What concerns a user who is being erased does not wait for long.
        const expected = ["ok", "USER_NOT_FOUND", "FOLLOW_ACROSS_BLOCK", "UnknownActorError", "UNAVAILABLE"];
        for (const outcome of Object.keys(outcomes)) expect(outcome.split(":")[0]).to.be.oneOf(expected);
        expect(await store().blocks.list(other, 10)).to.eql([]);
        expect(await store().mutes.list(other, 10)).to.eql([]);
      }
    });
  });
}
