import { Initial } from "./0001-initial.ts";

/** Every migration, oldest first, for both backends: only what PostgreSQL 15 understands. */
export const migrationsList = [{ name: "0001-initial", class: Initial }];
