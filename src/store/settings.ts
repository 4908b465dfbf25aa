import { sql } from "kysely";
import type { ConsistencyToken } from "../domain/consistency.ts";
import { UnknownActorError } from "../domain/errors.ts";
import { type Audience, defaultAudience, mapSettings, type PrivacySetting } from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";
import { parseToken, writeToken } from "./consistency.ts";
import type { SqlExecutor } from "./executor.ts";
import { query, queryTemplate } from "./statement.ts";

const chosenBy = queryTemplate((actor: UserId) =>
  query
    .selectFrom("users as u")
    .leftJoin("privacy_settings as p", "p.user_id", "u.id")
    .select(["p.setting", "p.audience"])
    .where("u.id", "=", actor)
    .where("u.erased_at", "is", null),
);

const choose = queryTemplate(
  (actor: UserId, setting: PrivacySetting, audience: Audience) => sql<{ known: boolean; token: string }>`
    with actor as (select id from users where id = ${actor} and erased_at is null for key share nowait),
    chosen as (
      insert into privacy_settings as p (user_id, setting, audience)
      select id, ${setting}, ${audience} from actor
      on conflict (user_id, setting) do update set audience = excluded.audience
      where p.audience <> excluded.audience
      returning 1
    )
    select exists (select from actor) as known, ${writeToken(sql`exists (select from chosen)`)} as token`,
);

/** The audiences that users chose for their settings. */
export class SettingsRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /** Returns the audience of every setting, the default where the actor chose none. Throws `UnknownActorError`. */
  async get(actor: UserId, signal?: AbortSignal): Promise<Record<PrivacySetting, Audience>> {
    const rows = await this.#executor.read(chosenBy(actor), signal);
    if (rows.length === 0) throw new UnknownActorError();
    const chosen = new Map(rows.map(({ setting, audience }) => [setting, audience]));
    return mapSettings((setting) => chosen.get(setting) ?? defaultAudience);
  }

  /** Chooses the audience of a setting. Throws `UnknownActorError`. */
  async set(
    actor: UserId,
    setting: PrivacySetting,
    audience: Audience,
    signal?: AbortSignal,
  ): Promise<ConsistencyToken> {
    // Concurrent changes of one setting wait for each other: by the lock of the row, or of its key when the row is new.
    return this.#executor.transaction(
      async (run) => {
        const [row] = await run(choose(actor, setting, audience));
        if (!row?.known) throw new UnknownActorError();
        return parseToken(row.token);
      },
      { signal, locks: { names: [`setting:${actor}:${setting}`] }, cause: "user" },
    );
  }
}
