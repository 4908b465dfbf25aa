import { canMakeCertificates, makeAuthority } from "../../support/certificates.ts";
import type { StopOptions } from "./stop.ts";

const delayMs = 300;

/** So many ways to stop a process: with and without TLS and a delay, in all combinations, on one database. */
export function conditions(stops: number, databaseUrl: string | undefined): StopOptions[] {
  const authority = canMakeCertificates ? makeAuthority("An authority") : undefined;
  const tls = authority && { server: authority.sign("server"), ca: authority.cert };
  return Array.from({ length: stops }, (_, stop) => ({
    databaseUrl,
    drainDelayMs: stop % 2 === 0 ? 0 : delayMs,
    tls: (stop >> 1) % 2 === 0 ? tls : undefined,
  }));
}

/** What tells one way from another. */
export function describeConditions({ drainDelayMs, tls }: StopOptions): string {
  return `after ${drainDelayMs} ms, ${tls === undefined ? "without" : "with"} TLS`;
}
