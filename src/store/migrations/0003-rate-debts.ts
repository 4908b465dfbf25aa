import { Migration } from "@mikro-orm/migrations";

export class RateDebts extends Migration {
  override up(): void {
    // Written every second, and worth nothing after a crash.
    this.addSql(`create unlogged table rate_debts (
      caller text not null primary key,
      clear_at timestamptz not null
    )`);
  }
}
