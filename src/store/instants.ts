import { type RawBuilder, sql } from "kysely";
import type { ListPosition } from "../domain/edges.ts";

/** The column `created_at` in microseconds since 1970, as text: a driver would round it. */
export const micros = sql`(extract(epoch from created_at) * 1000000)::bigint::text`;

/** The moment of a number of microseconds since 1970, exactly: an interval is multiplied in floating point. */
export function toMoment(count: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`timestamptz 'epoch' + ${count} / 1000000 * interval '1 second'
    + ${count} % 1000000 * interval '1 microsecond'`;
}

/** The moment of a position, to the microsecond. */
export function toTimestamp({ createdAt }: Pick<ListPosition, "createdAt">): RawBuilder<unknown> {
  return toMoment(sql`${createdAt.toString()}::bigint`);
}
