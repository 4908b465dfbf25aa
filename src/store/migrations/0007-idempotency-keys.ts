import { Migration } from "@mikro-orm/migrations";

/** The outcomes of requests that their callers may repeat. */
export class IdempotencyKeys extends Migration {
  override up(): void {
    // A row of a user who is unknown names none: `target_id` is null.
    this.addSql(`create table idempotency_keys (
      actor_id uuid not null constraint idempotency_keys_actor_id_foreign references users on delete cascade,
      key text not null,
      request bytea not null,
      target_id uuid null constraint idempotency_keys_target_id_foreign references users on delete cascade,
      created_at timestamptz not null default statement_timestamp(),
      failure text null,
      record uuid null,
      record_created_at timestamptz null,
      record_expires_at timestamptz null,
      record_scopes smallint null,
      primary key (actor_id, key)
    )`);
    this.addSql("create index idempotency_keys_target_id_index on idempotency_keys (target_id)");
    this.addSql("create index idempotency_keys_created_at_index on idempotency_keys (created_at)");
  }
}
