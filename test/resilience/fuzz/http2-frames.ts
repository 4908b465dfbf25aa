import fc from "fast-check";
import { headerBlock, http2Frame, preface } from "../../support/frames.ts";
import { openTcp } from "../../support/raw-http.ts";

const request = headerBlock([
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "h"],
  [":path", "/grpc.health.v1.Health/Check"],
  ["content-type", "application/grpc"],
]);

const payload = fc.oneof(
  fc.constant(Buffer.from(request)),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
);
/** Frames of every type, and of some that there are not; the length may lie. */
const oneFrame = fc
  .tuple(
    fc.nat(11),
    fc.oneof(fc.constantFrom(0, 1, 4, 5), fc.nat(255)),
    fc.nat(5),
    payload,
    fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat(20_000)),
  )
  .map(([type, flags, stream, bytes, lie]) => {
    const made = http2Frame(type, flags, stream, bytes);
    made.writeUIntBE(bytes.length + lie, 0, 3);
    return made;
  });
const settings = http2Frame(4, 0, 0, Buffer.alloc(0));
const connection = fc.tuple(
  fc.constantFrom(preface, Buffer.concat([preface, settings])),
  fc.array(oneFrame, { maxLength: 8 }),
);

/** Sends frames that make no sense on a connection of their own. */
export async function breakFrames(url: string, seed: number): Promise<void> {
  const [[start, frames] = [preface, []]] = fc.sample(connection, { seed, numRuns: 1 });
  const { socket } = await openTcp(Number(new URL(url).port));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.end(Buffer.concat([start, ...frames]));
  await closed;
}
