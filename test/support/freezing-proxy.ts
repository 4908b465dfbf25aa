import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP proxy that can stop passing anything on, as a server does whose machine hangs. */
export interface FreezingProxy {
  /** The same URL, through the proxy. */
  readonly url: string;
  /** How many connections were ever made. */
  readonly made: () => number;
  /** How many connections are open. */
  readonly open: () => number;
  freeze(): void;
  /** Ends all connections. */
  cut(): void;
  /** Passes nothing on of the connections that are open now, ever; but of those that are made later. */
  abandon(): void;
  /** Whether something came since it froze. */
  holds(): boolean;
  /** Passes on what came in the meantime, and what comes. */
  thaw(): void;
  /**
   * Holds back what meets a condition, also when its connection is closed after. Returns a function that passes it on,
   * and resolves when the server has closed those connections.
   */
  delay(condition: (bytes: Buffer) => boolean): () => Promise<void>;
  /** Changes what comes from clients. */
  rewrite(change: (bytes: Buffer) => Buffer): void;
  close(): Promise<void>;
}

/** Starts a proxy before the server of a URL. */
export async function startFreezingProxy(url: string): Promise<FreezingProxy> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const abandoned = new WeakSet<Socket>();
  const held: { readonly to: Socket; readonly bytes: Buffer | string }[] = [];
  const delayed: { readonly to: Socket; readonly bytes: Buffer }[] = [];
  let isDelayed: (bytes: Buffer) => boolean = () => false;
  let rewritten: (bytes: Buffer) => Buffer = (bytes) => bytes;
  let made = 0;
  let frozen = false;

  const server = createServer((near) => {
    made += 1;
    const far = connect(Number(target.port || 5432), target.hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.on("error", () => {});
      socket.on("close", () => {
        if (!delayed.some(({ to }) => to === other)) other.destroy();
      });
      socket.on("data", (received: Buffer) => {
        const bytes = socket === near ? rewritten(received) : received;
        if (abandoned.has(socket)) return;
        if (isDelayed(bytes)) delayed.push({ to: other, bytes });
        else if (frozen) held.push({ to: other, bytes });
        else other.write(bytes);
      });
    }
    sockets.add(near).add(far);
    near.on("close", () => {
      sockets.delete(near);
      sockets.delete(far);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const through = new URL(url);
  through.hostname = "127.0.0.1";
  through.port = String((server.address() as AddressInfo).port);
  return {
    url: through.href,
    made: () => made,
    open: () => sockets.size / 2,
    freeze() {
      frozen = true;
    },
    cut,
    abandon() {
      for (const socket of sockets) abandoned.add(socket);
    },
    holds: () => held.length + delayed.length > 0,
    thaw() {
      frozen = false;
      for (const { to, bytes } of held.splice(0)) if (!to.destroyed) to.write(bytes);
    },
    delay(condition) {
      isDelayed = condition;
      return async () => {
        isDelayed = () => false;
        const closed = delayed.splice(0).map(({ to, bytes }) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          to.once("close", () => resolve());
          to.end(bytes);
          return promise;
        });
        await Promise.all(closed);
      };
    },
    rewrite(change) {
      rewritten = change;
    },
    async close() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
