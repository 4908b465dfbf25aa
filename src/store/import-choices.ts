import { type RawBuilder, sql } from "kysely";
import type { ImportedException, ImportedSetting } from "../domain/imports.ts";
import { maxExceptions } from "../domain/settings.ts";
import { timestampFromMicros } from "./edges.ts";
import type { Run } from "./executor.ts";
import { type BatchOutcome, knownUser, type Numbered, skip } from "./import-records.ts";

interface SettingsRow {
  readonly stored: number;
  readonly unknown_owner: number[];
}

interface ExceptionsRow extends SettingsRow {
  readonly unknown_target: number[];
  readonly too_many: number[];
}

/**
 * Imports the audiences of settings, which replace those that are stored; the last of two for one setting wins. Rows are
 * written in the order of their key, so that two imports cannot wait for each other.
 */
export async function importSettings(
  run: Run,
  settings: readonly Numbered<ImportedSetting>[],
): Promise<BatchOutcome> {
  if (settings.length === 0) return { stored: 0, skipped: [] };
  const [row] = await run(sql<SettingsRow>`
    with seen as materialized (
      select g.*, owner_row.id is not null as knows_owner
      from unnest(
        ${settings.map(({ owner }) => owner)}::uuid[],
        ${settings.map(({ setting }) => setting)}::text[],
        ${settings.map(({ audience }) => audience)}::text[],
        ${settings.map(({ record }) => record)}::bigint[]
      ) as g (owner, setting, audience, record)
      left join lateral ${knownUser(sql`g.owner`)} owner_row on true
    ),
    added as (
      insert into privacy_settings as p (user_id, setting, audience)
      select distinct on (owner, setting) owner, setting, audience from seen where knows_owner
      order by owner, setting, record desc
      on conflict (user_id, setting) do update set audience = excluded.audience
      where p.audience <> excluded.audience
      returning 1
    )
    select (select count(*) from added)::int as stored,
      array(select record::int from seen where not knows_owner) as unknown_owner`);
  return {
    stored: row?.stored ?? 0,
    skipped: skip("UNKNOWN_USER", row?.unknown_owner, "userId is no known user"),
  };
}

/**
 * Imports entries of exception lists. An entry that is there stays as it is. Those by which a list would have more than
 * 1,000 are skipped, the last ones first. The locks on the lists must be held.
 */
export async function importExceptions(
  run: Run,
  exceptions: readonly Numbered<ImportedException>[],
): Promise<BatchOutcome> {
  if (exceptions.length === 0) return { stored: 0, skipped: [] };
  const [row] = await run(sql<ExceptionsRow>`
    with seen as materialized (
      select g.*, owner_row.id is not null as knows_owner, target_row.id is not null as knows_target
      from ${exceptionRows(exceptions)}
      left join lateral ${knownUser(sql`g.owner`)} owner_row on true
      left join lateral ${knownUser(sql`g.target`)} target_row on true
    ),
    wanted as (
      select owner, setting, target, min(created_at) as created_at, min(record) as first
      from seen where knows_owner and knows_target
      group by owner, setting, target
    ),
    lists as materialized (
      select owner, setting, (
        select count(*) from privacy_exceptions e where e.user_id = owner and e.setting = wanted.setting
      ) as count
      from wanted group by owner, setting
    ),
    missing as (
      select w.*, l.count + row_number() over (partition by w.owner, w.setting order by w.first) as place
      from wanted w join lists l on l.owner = w.owner and l.setting = w.setting
      where not exists (
        select from privacy_exceptions e
        where e.user_id = w.owner and e.setting = w.setting and e.excepted_id = w.target
      )
    ),
    added as (
      insert into privacy_exceptions (user_id, setting, excepted_id, created_at)
      select owner, setting, target, created_at from missing where place <= ${sql.lit(maxExceptions)}
      order by owner, setting, target
      on conflict (user_id, setting, excepted_id) do nothing
      returning 1
    )
    select (select count(*) from added)::int as stored,
      array(select record::int from seen where not knows_owner) as unknown_owner,
      array(select record::int from seen where knows_owner and not knows_target) as unknown_target,
      array(
        select record::int from seen s join missing m
          on m.owner = s.owner and m.setting = s.setting and m.target = s.target
        where m.place > ${sql.lit(maxExceptions)}
      ) as too_many`);
  return {
    stored: row?.stored ?? 0,
    skipped: [
      ...skip("UNKNOWN_USER", row?.unknown_owner, "userId is no known user"),
      ...skip("UNKNOWN_USER", row?.unknown_target, "exceptedId is no known user"),
      ...skip(
        "TOO_MANY_EXCEPTIONS",
        row?.too_many,
        `the list of the setting has ${maxExceptions} exceptions already`,
      ),
    ],
  };
}

function exceptionRows(exceptions: readonly Numbered<ImportedException>[]): RawBuilder<unknown> {
  return sql`(
    select owner, setting, target, record,
      coalesce(${timestampFromMicros(sql`micros`)}, statement_timestamp()) as created_at
    from unnest(
      ${exceptions.map(({ owner }) => owner)}::uuid[],
      ${exceptions.map(({ setting }) => setting)}::text[],
      ${exceptions.map(({ target }) => target)}::uuid[],
      ${exceptions.map(({ createdAt }) => createdAt?.toString() ?? null)}::bigint[],
      ${exceptions.map(({ record }) => record)}::bigint[]
    ) as given (owner, setting, target, micros, record)
  ) g`;
}
