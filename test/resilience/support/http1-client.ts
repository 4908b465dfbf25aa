import { connect, type Socket } from "node:net";

/** An answer over HTTP/1.1, as it came. */
export interface Http1Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A bare connection on which answers are read one after the other. */
export class Http1Connection {
  readonly socket: Socket;
  /** Why it can carry no more requests. */
  ended = false;
  #bytes: Buffer = Buffer.alloc(0);
  #wake = () => {};

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setNoDelay(true);
    this.socket.on("data", (chunk: Buffer) => {
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.ended = true;
      this.#wake();
    });
  }

  /** Bytes that are no part of an answer yet. */
  get rest(): Buffer {
    return this.#bytes;
  }

  /** The next final answer; undefined when the connection ends before, or `ms` milliseconds have passed. */
  async next(method: string, ms: number): Promise<Http1Answer | undefined> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, ms);
    try {
      for (;;) {
        const answer = this.#take(method);
        if (answer !== undefined && answer.status >= 200) return answer;
        if (answer !== undefined) continue;
        if (this.ended || late) return undefined;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Takes a whole answer from what has come. Throws for what is no HTTP/1.1. */
  #take(method: string): Http1Answer | undefined {
    const end = this.#bytes.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [first = "", ...lines] = this.#bytes.toString("latin1", 0, end).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) throw new Error(`no status line: ${first.slice(0, 80)}`);
    const headers: Record<string, string> = Object.create(null);
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const empty = method === "HEAD" || status < 200 || status === 204 || status === 304;
    const from = end + 4;
    const found = empty ? { body: Buffer.alloc(0), to: from } : bodyOf(this.#bytes, from, headers);
    if (found === undefined) return undefined;
    this.#bytes = this.#bytes.subarray(found.to);
    return { status, headers, body: found.body };
  }
}

function bodyOf(bytes: Buffer, from: number, headers: Readonly<Record<string, string>>) {
  if (headers["transfer-encoding"] !== "chunked") {
    const to = from + Number(headers["content-length"]);
    if (Number.isNaN(to)) throw new Error(`an answer of no length: ${bytes.toString("latin1", 0, from)}`);
    return bytes.length < to ? undefined : { body: bytes.subarray(from, to), to };
  }
  const chunks: Buffer[] = [];
  for (let at = from; ; ) {
    const line = bytes.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.toString("latin1", at, line), 16);
    if (Number.isNaN(size)) throw new Error("a chunk of no size");
    if (size === 0) {
      // The line is followed by another end of line at once, or by trailers.
      const end = bytes.indexOf("\r\n\r\n", line);
      return end < 0 ? undefined : { body: Buffer.concat(chunks), to: end + 4 };
    }
    const to = line + 2 + size + 2;
    if (bytes.length < to) return undefined;
    chunks.push(bytes.subarray(line + 2, line + 2 + size));
    at = to;
  }
}
