import { Initial } from "./0001-initial.ts";
import { ExceptionsAndImports } from "./0002-exceptions-and-imports.ts";
import { RateDebts } from "./0003-rate-debts.ts";
import { ServiceImports } from "./0004-service-imports.ts";
import { DropRateDebts } from "./0005-drop-rate-debts.ts";
import { ChangeLog } from "./0006-change-log.ts";
import { IdempotencyKeys } from "./0007-idempotency-keys.ts";
import { UserNames } from "./0008-user-names.ts";
import { ServerRuns } from "./0009-server-runs.ts";

/** All migrations, oldest first, for both backends: they use only features of PostgreSQL 15. */
export const migrationsList = [
  { name: "0001-initial", class: Initial },
  { name: "0002-exceptions-and-imports", class: ExceptionsAndImports },
  { name: "0003-rate-debts", class: RateDebts },
  { name: "0004-service-imports", class: ServiceImports },
  { name: "0005-drop-rate-debts", class: DropRateDebts },
  { name: "0006-change-log", class: ChangeLog },
  { name: "0007-idempotency-keys", class: IdempotencyKeys },
  { name: "0008-user-names", class: UserNames },
  { name: "0009-server-runs", class: ServerRuns },
];
