import type { Dialect, Write } from "./calls.ts";
import { type Connection, type Outcome, openHttp1, openHttp2 } from "./connections.ts";

/** The service as its clients know it. */
export interface Target {
  readonly url: Record<"public" | "internal", string>;
  readonly token: (listener: "public" | "internal", user: string) => Promise<string>;
  readonly ca: string | undefined;
}

/** What became of the calls. */
export interface Tally {
  sent: number;
  answered: number;
  refused: number;
  readonly lost: string[];
  /** Writes that were answered well. */
  readonly written: Write[];
}

/** Between two calls of a client, in milliseconds. */
const paceMs = 20;
/** Of a client over HTTP/2. All clients together have no more in flight than the service has connections to the database. */
const maxInFlight = 2;

/**
 * Calls at a steady pace over one connection, one read for each write, as one user. It goes on until the service
 * ends the connection and `mayConnect` forbids another one.
 */
export async function callSteadily(
  dialect: Dialect,
  owner: string,
  targets: readonly string[],
  { url, token, ca }: Target,
  mayConnect: () => boolean,
  tally: Tally,
): Promise<void> {
  const authorization = await token(dialect.listener, owner);
  const open = () => (dialect.http === 1 ? openHttp1 : openHttp2)(url[dialect.listener], ca);
  const running = new Set<Promise<void>>();
  let connection = open();
  for (let count = 0; ; count++) {
    const pace = new Promise((resolve) => setTimeout(resolve, paceMs));
    while (running.size >= (dialect.http === 1 ? 1 : maxInFlight)) await Promise.race(running);
    if (!connection.isOpen() && count > 0) {
      if (!mayConnect()) break;
      // An agent of HTTP/1.1 connects when it is used.
      if (dialect.http === 2) connection = open();
    }
    const target = targets[count >> 1];
    const isWrite = count % 2 === 0 && target !== undefined;
    const call = isWrite ? dialect.write(owner, target) : dialect.read(owner, targets[0] as string);
    const sending = send(connection, { ...call, headers: { ...call.headers, authorization } }).then(
      (outcome) => {
        running.delete(sending);
        if (outcome === "answered" && isWrite) tally.written.push({ kind: dialect.writes, owner, target });
        if (outcome === "answered") tally.answered += 1;
        else if (outcome === "refused") tally.refused += 1;
        else tally.lost.push(`${dialect.name} ${call.path}: ${outcome.lost}`);
      },
    );
    running.add(sending);
    tally.sent += 1;
    await pace;
  }
  await Promise.all(running);
  connection.close();
}

async function send(connection: Connection, call: Parameters<Connection["send"]>[0]): Promise<Outcome> {
  try {
    return await connection.send(call);
  } catch (failure) {
    return { lost: String(failure) };
  }
}
