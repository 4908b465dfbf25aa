import type { Socket } from "node:net";
import { headerBlock, http2Frame, preface } from "../../support/frames.ts";
import { trickle } from "./attacker.ts";

/** Slow connections to one listener, in full size. */
export const slowConnections = 3_100;

/** A way to keep a connection open without doing anything, and how many of the slow connections do it. */
export interface SlowKind {
  readonly kind: string;
  readonly share: number;
  readonly act: (socket: Socket) => void;
}

const settings = http2Frame(4, 0, 0, Buffer.alloc(0));
const start = Buffer.concat([preface, settings]);
const path = "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings";
const head = `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n`;
const byte = () => Buffer.from("a");
/** The prefix of a message of gRPC that is long in coming, byte by byte. */
const longMessage = Buffer.from([0, 0, 0, 0xea, 0x60]);

/**
 * The kinds of slow connections: 2,000 idle, 500 with half a header, 500 stalled and 100 trickling, to one listener, in
 * full size. None of them ever completes a request: a client that got an answer may stay idle, as clients of gRPC do.
 */
export function slowKinds(token: string, user: string): SlowKind[] {
  const block = headerBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":authority", "h"],
    [":path", path],
    ["content-type", "application/grpc"],
  ]);
  const authorized = Buffer.concat([block, admission(token, user)]);
  const open = Buffer.concat([start, http2Frame(1, 4, 1, authorized)]);
  const admitted = `${head}Authorization: ${token}\r\nX-Acting-User: ${user}\r\n`;
  const bodyBegun = `${admitted}Content-Length: 100\r\n\r\n{`;
  const chunkBegun = `${admitted}Transfer-Encoding: chunked\r\n\r\n`;
  return [
    { kind: "idle", share: 2_000, act: () => {} },
    { kind: "half-headed, HTTP/1.1", share: 250, act: (socket) => socket.write(head) },
    {
      kind: "half-headed, HTTP/2",
      share: 250,
      act: (socket) => socket.write(Buffer.concat([start, http2Frame(1, 1, 1, block)])),
    },
    { kind: "stalled, a body of HTTP/1.1", share: 150, act: (socket) => socket.write(bodyBegun) },
    {
      kind: "stalled, a chunk of HTTP/1.1",
      share: 100,
      act: (socket) => socket.write(`${chunkBegun}5\r\n{`),
    },
    { kind: "stalled, a body of HTTP/2", share: 150, act: (socket) => socket.write(open) },
    {
      kind: "stalled, a preface of HTTP/2",
      share: 50,
      act: (socket) => socket.write(preface.subarray(0, 12)),
    },
    { kind: "stalled, a session of HTTP/2", share: 50, act: (socket) => socket.write(start) },
    { kind: "trickling headers of HTTP/1.1", share: 25, act: (socket) => begin(socket, `${head}X: `, byte) },
    {
      kind: "trickling chunks of HTTP/1.1",
      share: 25,
      act: (socket) => begin(socket, chunkBegun, () => Buffer.from("1\r\na\r\n")),
    },
    {
      kind: "trickling data of HTTP/2",
      share: 25,
      act: (socket) => begin(socket, open, (turn) => http2Frame(0, 0, 1, Buffer.of(longMessage[turn] ?? 0))),
    },
    {
      kind: "trickling pings of HTTP/2",
      share: 25,
      act: (socket) => begin(socket, start, () => http2Frame(6, 0, 0, Buffer.alloc(8))),
    },
  ];
}

function begin(socket: Socket, first: string | Buffer, next: (turn: number) => Buffer): void {
  socket.write(first);
  trickle(socket, next);
}

/** The headers of HTTP/2 by which a call is admitted. */
export function admission(token: string, user: string): Buffer {
  return Buffer.concat([longHeader("authorization", token), headerBlock([["x-acting-user", user]])]);
}

/** A literal header whose value is longer than 126 bytes (RFC 7541, 5.1). */
function longHeader(name: string, value: string): Buffer {
  const length: number[] = [127];
  let left = value.length - 127;
  for (; left >= 128; left = Math.floor(left / 128)) length.push((left % 128) | 128);
  length.push(left);
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from(length),
    Buffer.from(value),
  ]);
}
