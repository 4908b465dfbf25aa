import { sql } from "kysely";
import { PrivacyError, UnknownActorError } from "../domain/errors.ts";
import type { OwnerChoices } from "../domain/preview.ts";
import {
  defaultAudience,
  mapSettings,
  type PrivacySetting,
  privacySettings,
  type SettingChoice,
} from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";
import type { SqlExecutor } from "./executor.ts";
import { standing } from "./expiry.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";

interface ChoiceRow extends SettingChoice {
  readonly writable: boolean;
  readonly owner_known: boolean;
  readonly viewer_known: boolean;
  readonly blocking: boolean;
  readonly contact: boolean;
  readonly setting: PrivacySetting;
}

/**
 * What an owner chose with regard to a viewer, a row for each setting. It reads no row that the viewer made.
 *
 * Each look-up is a query of its own for at most one row by its whole key, as in `factsOf` of access.ts.
 */
const choicesOf = queryTemplate(
  (owner: UserId, viewer: UserId | null) => sql<ChoiceRow>`
    select ${isWritable} as writable,
      (select true from users where id = ${owner} and erased_at is null) is not null as owner_known,
      ${viewer}::uuid is null
        or (select true from users where id = ${viewer} and erased_at is null) is not null as viewer_known,
      (select true from blocks
        where blocker_id = ${owner} and blocked_id = ${viewer} and ${standing}) is not null as blocking,
      (select true from follows
        where follower_id = ${owner} and followee_id = ${viewer}) is not null as contact,
      s.setting,
      coalesce((select audience from privacy_settings
        where user_id = ${owner} and setting = s.setting), ${sql.lit(defaultAudience)}) as audience,
      (select true from privacy_exceptions
        where user_id = ${owner} and setting = s.setting and excepted_id = ${viewer}) is not null as excepted
    from (values ${sql.join(privacySettings.map((setting) => sql`(${sql.lit(setting)})`))}) as s (setting)`,
);

/** Reads what decides how a user's account looks to another: the choices of its owner alone. */
export class PreviewReader {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Returns the owner's choices by one statement that starts now. A viewer of null is not signed in. Throws
   * `UnknownActorError` for an unknown owner, `USER_NOT_FOUND` for an unknown viewer, and `UNAVAILABLE` when the server is
   * not a primary that takes changes.
   */
  async read(owner: UserId, viewer: UserId | null, signal?: AbortSignal): Promise<OwnerChoices> {
    const rows = await this.#executor.read(choicesOf(owner, viewer), signal);
    const [first] = rows;
    assertWritable(first?.writable);
    if (!first?.owner_known) throw new UnknownActorError();
    if (!first.viewer_known) throw new PrivacyError("USER_NOT_FOUND");
    const choices = new Map(rows.map(({ setting, audience, excepted }) => [setting, { audience, excepted }]));
    return {
      blocking: first.blocking,
      contact: first.contact,
      settings: mapSettings((setting) => {
        const choice = choices.get(setting);
        if (choice === undefined) throw new Error(`no choice was read for ${setting}`);
        return choice;
      }),
    };
  }
}
