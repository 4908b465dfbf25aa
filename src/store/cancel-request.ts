import pg from "pg";
import { Semaphore } from "./semaphore.ts";

/**
 * What became of a request to cancel. `handled`: the server has acted on it, so that it cannot hit a later statement.
 * `not sent`: it never left. `unknown`: it may take effect at any later time.
 */
export type CancelOutcome = "handled" | "not sent" | "unknown";

/** A connection of the driver, with the members that its types leave out. */
interface ProtocolConnection extends pg.Connection {
  connect(portOrPath: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processID: number, secretKey: number): void;
}

/** A client of the driver, with the members that its types leave out. */
type CancelTarget = pg.Client & {
  readonly sslNegotiation?: "postgres" | "direct";
  /** Null until the server, or the pooler in front of it, has sent them. */
  readonly processID: number | null;
  readonly secretKey: number | null;
};

/** How long the server may take to act on a request, in milliseconds. */
const defaultTimeoutMs = 1_000;

/**
 * Asks the server to cancel what a client's connection runs, by a CancelRequest of the protocol, which a pooler forwards.
 * The server closes the connection of the request after it has acted on it; a pooler closes it after the server has.
 */
export async function sendCancelRequest(
  client: pg.Client,
  timeoutMs = defaultTimeoutMs,
): Promise<CancelOutcome> {
  const { host, port, ssl, sslNegotiation, processID, secretKey } = client as CancelTarget;
  if (processID === null || secretKey === null) return "not sent";
  const connection = new pg.Connection({ ssl, sslnegotiation: sslNegotiation }) as ProtocolConnection;
  let isSent = false;
  let hasFailed = false;
  const { promise, resolve } = Promise.withResolvers<CancelOutcome>();
  const fail = () => {
    hasFailed = true;
    connection.stream.destroy();
  };
  const timer = setTimeout(fail, timeoutMs);
  const send = () => {
    isSent = true;
    connection.cancel(processID, secretKey);
  };
  connection.on("connect", () => {
    if (!ssl) send();
    else if (sslNegotiation !== "direct") connection.requestSsl();
  });
  connection.on("sslconnect", send);
  connection.on("error", fail);
  connection.on("end", () => {
    clearTimeout(timer);
    if (!isSent) resolve("not sent");
    else resolve(hasFailed ? "unknown" : "handled");
  });
  if (host.startsWith("/")) connection.connect(`${host}/.s.PGSQL.${port}`);
  else connection.connect(port, host);
  return promise;
}

/** Asks to cancel what a client runs. Sends nothing once `ended` has aborted: then there is nothing to cancel. */
export type Cancel = (client: pg.Client, ended: AbortSignal) => Promise<CancelOutcome>;

/** A `Cancel` that has at most `maxAtOnce` requests under way, each on its own connection; `send` makes a request. */
export function boundedCancel(maxAtOnce: number, send: typeof sendCancelRequest = sendCancelRequest): Cancel {
  const permits = new Semaphore({
    permits: maxAtOnce,
    acquireTimeoutMs: 10_000,
    maxWaiting: 1_000,
    failure: "too many cancel requests are under way",
  });
  return async (client, ended) => {
    try {
      await permits.acquire(ended);
    } catch {
      return "not sent";
    }
    try {
      return await send(client);
    } finally {
      permits.release();
    }
  };
}
