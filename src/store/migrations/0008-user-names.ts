import { Migration } from "@mikro-orm/migrations";

/** The index by which users are found by their names. */
export class UserNames extends Migration {
  override up(): void {
    // It is made in the transaction of all migrations, and therefore not concurrently: changes of users wait until it is
    // complete. It comes last, so that they do not wait for other migrations, too. All reads go on, and changes of follows,
    // blocks, mutes and settings, which lock only rows of users.
    //
    // In the order of bytes: names are compared as a whole only, and to sort them by the rules of a language takes several
    // times as long.
    this.addSql("create index users_user_name_index on users (user_name text_pattern_ops)");
  }
}
