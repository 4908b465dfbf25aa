import { Migration } from "@mikro-orm/migrations";

export class ExceptionsAndImports extends Migration {
  override up(): void {
    this.addSql(`create table privacy_exceptions (
      user_id uuid not null constraint privacy_exceptions_user_id_foreign references users on delete cascade,
      setting text not null constraint privacy_exceptions_setting_check
        check (setting in ('last_seen', 'profile_picture', 'status', 'read_receipts', 'groups')),
      excepted_id uuid not null constraint privacy_exceptions_excepted_id_foreign references users on delete cascade,
      created_at timestamptz not null,
      primary key (user_id, setting, excepted_id)
    )`);
    this.addSql("create index privacy_exceptions_excepted_id_index on privacy_exceptions (excepted_id)");
    this.addSql(`create table imports (
      id uuid not null primary key,
      records bigint not null default 0,
      stored bigint not null default 0,
      unchanged bigint not null default 0,
      skipped jsonb not null default '{}'
    )`);
  }
}
