/** How Node says that a request was cut off. */
const codes = new Set<unknown>(["ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"]);

/** Whether a request could not be read because its sender has gone. Of other things, the database say, it tells nothing. */
export function isDisconnect(reason: unknown): boolean {
  return reason instanceof Error && "code" in reason && codes.has(reason.code);
}
