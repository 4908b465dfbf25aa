import { Migration } from "@mikro-orm/migrations";

export class ServiceImports extends Migration {
  override up(): void {
    // A table of its own: the version before looks an import up in `imports` by its id alone, and would read and
    // change rows of other services there. Its unfinished imports begin anew.
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
