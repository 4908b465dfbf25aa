import { connect, type Socket } from "node:net";
import { Load, type Outcome } from "./load.ts";

type OnAnswer = (outcome: Outcome) => void;

interface Connection {
  readonly socket: Socket;
  dueAt: number;
  onAnswer: OnAnswer;
  text: string;
}

/** The most connections; a request that is due beyond them waits, and its time runs. */
const maxConnections = 1_000;

/** A client of HTTP/1.1 that does no more than it must, so that it can ask for more than a service can do. */
export class HttpLoad extends Load {
  readonly #port: number;
  readonly #next: () => string;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Socket>();
  #waiting: { readonly text: string; readonly dueAt: number; readonly onAnswer: OnAnswer }[] = [];

  /** `next` writes the next request of those that are not given. */
  constructor(url: string, next: () => string) {
    super();
    this.#port = Number(new URL(url).port);
    this.#next = next;
  }

  override send(dueAt: number, onAnswer: OnAnswer): void {
    this.request(this.#next(), dueAt, onAnswer);
  }

  /** Sends this request. */
  request(text: string, dueAt: number, onAnswer: OnAnswer): void {
    const connection = this.#idle.pop() ?? (this.#all.size < maxConnections ? this.#open() : undefined);
    if (connection === undefined) {
      this.#waiting.push({ text, dueAt, onAnswer });
      return;
    }
    Object.assign(connection, { dueAt, onAnswer, text: "" });
    connection.socket.write(text);
  }

  /** Opens so many connections, each by a first request: without one a service closes them soon. */
  async open(count: number): Promise<void> {
    const probe = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    const first = () => new Promise<Outcome>((resolve) => this.request(probe, performance.now(), resolve));
    await Promise.all(Array.from({ length: count }, first));
  }

  override giveUp(): void {
    this.#waiting = [];
  }

  override close(): void {
    for (const socket of this.#all) socket.destroy();
  }

  #open(): Connection {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    const connection: Connection = { socket, dueAt: 0, onAnswer: () => {}, text: "" };
    this.#all.add(socket);
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => this.#receive(connection, chunk));
    socket.on("error", () => {});
    socket.on("close", () => this.#all.delete(socket));
    return connection;
  }

  #receive(connection: Connection, chunk: string): void {
    connection.text += chunk;
    const { text, dueAt, onAnswer } = connection;
    const headEnd = text.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (text.length < headEnd + 4 + length) return;
    this.#idle.push(connection);
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) this.request(waiting.text, waiting.dueAt, waiting.onAnswer);
    onAnswer({
      status: Number(text.slice(9, 12)),
      retryAfter: /\r\nretry-after: \d/i.test(text.slice(0, headEnd)),
      ms: performance.now() - dueAt,
    });
  }
}
