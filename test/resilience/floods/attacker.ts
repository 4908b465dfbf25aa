import { connect, type Socket } from "node:net";

/** One hostile connection. */
export interface Attacker {
  readonly kind: string;
  readonly socket: Socket;
  readonly openedAt: number;
  /** When the server had closed it. */
  closedAt: number | undefined;
}

/** Opens a hostile connection, on which `act` sends. It reads everything, and never closes first. */
export function attack(kind: string, port: number, act: (socket: Socket) => void): Promise<Attacker> {
  const { promise, resolve } = Promise.withResolvers<Attacker>();
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {}).resume();
  socket.once("connect", () => {
    const attacker: Attacker = { kind, socket, openedAt: performance.now(), closedAt: undefined };
    socket.once("close", () => {
      attacker.closedAt = performance.now();
    });
    act(socket);
    resolve(attacker);
  });
  return promise;
}

/** Writes the same bytes again and again, as fast as they are taken, at most `times`. */
export function flood(socket: Socket, bytes: (turn: number) => Buffer, times: number): void {
  let turn = 0;
  const go = () => {
    while (turn < times && !socket.destroyed) if (!socket.write(bytes(turn++))) return;
  };
  socket.on("drain", go);
  go();
}

/** Writes bytes one by one, ten a second, until the connection is closed. */
export function trickle(socket: Socket, bytes: (turn: number) => Buffer): void {
  let turn = 0;
  const timer = setInterval(() => socket.write(bytes(turn++)), 100);
  socket.once("close", () => clearInterval(timer));
}
