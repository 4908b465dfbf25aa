import { connect, type Socket } from "node:net";

/** What became of one request. */
export interface Outcome {
  readonly status: number;
  readonly retryAfter: boolean;
  /** Milliseconds since the request was due. */
  readonly ms: number;
}

interface Connection {
  readonly socket: Socket;
  dueAt: number;
  text: string;
}

/** The most connections; a request that is due beyond them waits, and its time runs. */
const maxConnections = 1_000;

/** A client of HTTP/1.1 that does no more than it must, so that it can ask for more than a service can do. */
export class HttpLoad {
  readonly #port: number;
  readonly #next: () => string;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Socket>();
  #due: number[] = [];
  #outcomes: Outcome[] = [];
  #whenAnswered = (_outcome: Outcome) => {};

  /** `next` writes the next request. */
  constructor(url: string, next: () => string) {
    this.#port = Number(new URL(url).port);
    this.#next = next;
  }

  /** Keeps `width` requests under way for `ms` milliseconds. */
  async closedLoop(width: number, ms: number): Promise<Outcome[]> {
    this.#outcomes = [];
    this.#whenAnswered = () => this.#send(performance.now());
    for (let i = 0; i < width; i++) this.#send(performance.now());
    await sleep(ms);
    this.#whenAnswered = () => {};
    return this.#outcomes;
  }

  /** Sends `rate` requests a second for `ms` milliseconds, whatever becomes of them. */
  async openLoop(rate: number, ms: number): Promise<Outcome[]> {
    this.#outcomes = [];
    const startedAt = performance.now();
    for (let sent = 0; ; await sleep(1)) {
      const elapsed = performance.now() - startedAt;
      if (elapsed >= ms) break;
      for (; sent < (elapsed * rate) / 1_000; sent++) this.#send(startedAt + (sent * 1_000) / rate);
    }
    // Those who still wait for a connection give up.
    this.#due = [];
    return this.#outcomes;
  }

  /** Sends one request over a connection of its own. */
  one(): Promise<Outcome> {
    const load = new HttpLoad(`http://127.0.0.1:${this.#port}`, this.#next);
    return new Promise((resolve) => {
      load.#whenAnswered = (outcome) => {
        load.close();
        resolve(outcome);
      };
      load.#send(performance.now());
    });
  }

  close(): void {
    for (const socket of this.#all) socket.destroy();
  }

  #send(dueAt: number): void {
    const connection = this.#idle.pop() ?? (this.#all.size < maxConnections ? this.#open() : undefined);
    if (connection === undefined) {
      this.#due.push(dueAt);
      return;
    }
    connection.dueAt = dueAt;
    connection.text = "";
    connection.socket.write(this.#next());
  }

  #open(): Connection {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    const connection: Connection = { socket, dueAt: 0, text: "" };
    this.#all.add(socket);
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => this.#receive(connection, chunk));
    socket.on("error", () => {});
    socket.on("close", () => this.#all.delete(socket));
    return connection;
  }

  #receive(connection: Connection, chunk: string): void {
    connection.text += chunk;
    const { text, dueAt } = connection;
    const headEnd = text.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (text.length < headEnd + 4 + length) return;
    const outcome = {
      status: Number(text.slice(9, 12)),
      retryAfter: /\r\nretry-after: \d/i.test(text.slice(0, headEnd)),
      ms: performance.now() - dueAt,
    };
    this.#outcomes.push(outcome);
    this.#idle.push(connection);
    const waiting = this.#due.shift();
    if (waiting !== undefined) this.#send(waiting);
    this.#whenAnswered(outcome);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
