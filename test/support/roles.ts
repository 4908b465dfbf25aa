import { execFileSync } from "node:child_process";
import { delimiter } from "node:path";
import { findPostgresql } from "./programs.ts";

/** The URLs by which the roles of `deploy/sql/roles.sql` reach a database. */
export interface RoleUrls {
  readonly owner: string;
  readonly service: string;
}

/** Makes the roles with psql, as an operator does; the URL is a superuser's. */
export function makeRoles(url: string, password = "x".repeat(16)): RoleUrls {
  const PATH = [process.env.PATH, findPostgresql()].join(delimiter);
  execFileSync("psql", ["--no-psqlrc", "-f", "deploy/sql/roles.sql", url], {
    env: { PATH, MIGRATION_PASSWORD: password, SERVICE_PASSWORD: password },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const as = (role: string) => {
    const changed = new URL(url);
    changed.username = role;
    changed.password = password;
    return changed.href;
  };
  return { owner: as("privacy_control_owner"), service: as("privacy_control_service") };
}
