import { Migration } from "@mikro-orm/migrations";

export class ServiceImports extends Migration {
  override up(): void {
    // Not a column of `imports`: the previous version finds an import there by its id alone, and would read and change
    // rows of other services. Imports that it has not finished start from the beginning.
    this.addSql(`create table service_imports (
      service text not null,
      id uuid not null,
      records bigint not null default 0,
      stored bigint not null default 0,
      unchanged bigint not null default 0,
      skipped jsonb not null default '{}',
      primary key (service, id)
    )`);
  }
}
