import { Migration } from "@mikro-orm/migrations";

/** What tells a tick of before a crash of the server from one of after it, when the server was not started anew. */
export class ServerRuns extends Migration {
  override up(): void {
    // Without a default at first: the ticks that are stored may be of before a crash.
    this.addSql("alter table ticks add column statistics_reset_at timestamptz");
    this.addSql(
      "alter table ticks alter column statistics_reset_at set default pg_stat_get_bgwriter_stat_reset_time()",
    );
  }
}
