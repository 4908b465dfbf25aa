import type { IncomingHttpHeaders } from "node:http";

/** The longest deadline that is kept: no call of ours lasts longer. In milliseconds. */
const longestMs = 24 * 3_600_000;

const hours = 3_600_000;
/** Milliseconds of the units in which gRPC states a timeout that may be too long; the others never are. */
const msOfUnit: Record<string, number> = { H: hours, M: 60_000, S: 1_000, m: 1 };

/**
 * Shortens a deadline that no timer can keep. Node fires a timer of more than 2^31 - 1 ms at once, so Connect would
 * answer a client that is willing to wait for a month with "deadline exceeded".
 */
export function clampTimeout(headers: IncomingHttpHeaders): void {
  const grpc = headers["grpc-timeout"];
  if (typeof grpc === "string" && isLongGrpc(grpc)) headers["grpc-timeout"] = "24H";
  const connect = headers["connect-timeout-ms"];
  if (typeof connect === "string" && /^\d{1,10}$/.test(connect) && Number(connect) > longestMs) {
    headers["connect-timeout-ms"] = String(longestMs);
  }
}

function isLongGrpc(value: string): boolean {
  const [, amount, unit] = /^(\d{1,8})([HMSm])$/.exec(value) ?? [];
  return amount !== undefined && unit !== undefined && Number(amount) * (msOfUnit[unit] ?? 0) > longestMs;
}
