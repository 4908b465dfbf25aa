import { sql } from "kysely";
import type { UserId } from "../domain/ids.ts";
import { type Audience, defaultAudience, type PrivacySetting } from "../domain/settings.ts";
import type { Session } from "./session.ts";

/** A question about a pair of users: only what is asked for is looked up. */
export interface PairQuestion {
  /** Null when nobody is signed in. */
  readonly viewer: UserId | null;
  readonly owner: UserId;
  /** Whether it matters that the viewer mutes the owner. */
  readonly mute: boolean;
  /** The setting of the owner that matters, null when none does. */
  readonly setting: PrivacySetting | null;
}

/** The facts of a pair, all of one moment. */
export interface PairFacts {
  /** False when the owner, or a viewer who is signed in, is unknown. */
  readonly known: boolean;
  readonly blocking: boolean;
  readonly blockedBy: boolean;
  readonly muting: boolean;
  /** The owner's audience for the setting. */
  readonly audience: Audience;
  /** The owner follows the viewer. */
  readonly contact: boolean;
  /** The viewer is on the owner's exception list of the setting. */
  readonly excepted: boolean;
}

interface FactsRow {
  readonly known: boolean;
  readonly blocking: boolean;
  readonly blocked_by: boolean;
  readonly muting: boolean;
  readonly audience: Audience | null;
  readonly contact: boolean;
  readonly excepted: boolean;
}

/** Reads what decisions rest on. */
export class AccessFacts {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Returns the facts of each question, in their order, by one statement that starts now. */
  async read(questions: readonly PairQuestion[], signal?: AbortSignal): Promise<PairFacts[]> {
    const viewers = questions.map(({ viewer }) => viewer);
    const owners = questions.map(({ owner }) => owner);
    const mutes = questions.map(({ mute }) => mute);
    const settings = questions.map(({ setting }) => setting);
    // Each look-up is lateral with a limit: a join, or `exists`, lets the planner read a user's whole list, or the
    // whole table, where a few index probes are enough.
    const rows = await this.#session.read(
      sql<FactsRow>`
        select
          (q.viewer is null or viewer.id is not null) and owner.id is not null as known,
          blocking.found is not null as blocking,
          blocked_by.found is not null as blocked_by,
          muting.found is not null as muting,
          chosen.audience,
          contact.found is not null as contact,
          excepted.found is not null as excepted
        from unnest(${viewers}::uuid[], ${owners}::uuid[], ${mutes}::boolean[], ${settings}::text[])
          with ordinality as q (viewer, owner, mute, setting, n)
        left join lateral (select u.id from users u where u.id = q.viewer limit 1) viewer on true
        left join lateral (select u.id from users u where u.id = q.owner limit 1) owner on true
        left join lateral (
          select true as found from blocks b where b.blocker_id = q.viewer and b.blocked_id = q.owner limit 1
        ) blocking on true
        left join lateral (
          select true as found from blocks b where b.blocker_id = q.owner and b.blocked_id = q.viewer limit 1
        ) blocked_by on true
        left join lateral (
          select true as found from mutes m where q.mute and m.muter_id = q.viewer and m.muted_id = q.owner limit 1
        ) muting on true
        left join lateral (
          select p.audience from privacy_settings p where p.user_id = q.owner and p.setting = q.setting limit 1
        ) chosen on true
        left join lateral (
          select true as found from follows f
          where q.setting is not null and f.follower_id = q.owner and f.followee_id = q.viewer limit 1
        ) contact on true
        left join lateral (
          select true as found from privacy_exceptions e
          where e.user_id = q.owner and e.setting = q.setting and e.excepted_id = q.viewer limit 1
        ) excepted on true
        order by q.n`,
      signal,
    );
    return rows.map(({ blocked_by, audience, ...row }) => ({
      ...row,
      blockedBy: blocked_by,
      audience: audience ?? defaultAudience,
    }));
  }
}
