import { Migration } from "@mikro-orm/migrations";

export class DropRateDebts extends Migration {
  override up(): void {
    // Limits count per instance. The previous version, which may still serve during a rollout, logs that it cannot share
    // its counts and goes on without.
    this.addSql("drop table rate_debts");
  }
}
