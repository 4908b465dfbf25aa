import { type RawBuilder, sql } from "kysely";
import type { ListPosition } from "../domain/edges.ts";

/** The column `created_at` in microseconds since 1970, as text: a driver would round it. */
export const micros = sql`(extract(epoch from created_at) * 1000000)::bigint::text`;

/** The moment of a position, to the microsecond. */
export function toTimestamp({ createdAt }: Pick<ListPosition, "createdAt">): RawBuilder<unknown> {
  return sql`timestamptz 'epoch' + ${createdAt.toString()}::bigint * interval '1 microsecond'`;
}
