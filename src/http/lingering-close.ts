import type { Socket } from "node:net";

/** For how long a client may go on sending after its last answer, in milliseconds. */
const lingerMs = 1_000;
/** How much it may send in that time, in bytes: what was under way when the answer was sent. */
const lingerBytes = 256 * 1024;

/**
 * Has a connection close in stages (RFC 9112, 9.6): after the last answer it takes what the client still sends, unread,
 * until the client closes too. Closed at once, it would be reset, and the client might never see the answer.
 */
export function useLingeringClose(socket: Socket): void {
  // The method by which Node closes a connection after a last answer.
  socket.destroySoon = () => {
    if (!socket.writable) return;
    socket.end();
    let left = lingerBytes;
    // Nothing that comes now is a request.
    socket.removeAllListeners("data").on("data", (chunk) => {
      left -= chunk.length;
      if (left < 0) socket.destroy();
    });
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("end", () => socket.destroy()).once("close", () => clearTimeout(timer));
  };
}
