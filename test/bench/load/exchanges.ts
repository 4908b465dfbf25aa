import { dataFrames, headerBlock, lengthPrefixed } from "../../support/frames.ts";
import type { GrpcRequest } from "../../support/grpc-session.ts";

/** A request message and the message that must come back; undefined when any will do. */
export interface Call {
  /** The user for whom a service makes the call. */
  readonly actor?: string;
  readonly request: Uint8Array;
  readonly reply: Uint8Array | undefined;
}

/** A request as it is sent, and the whole body of the right answer; undefined when any message will do. */
export interface Exchange extends GrpcRequest {
  readonly expected: Buffer | undefined;
}

/** The longest body that the flow control of one stream lets through at once (RFC 9113, 6.9.2). */
const maxBodyBytes = 65_535;
const anyReply = 0xffff_ffff;

/** Packs calls for the process that makes them. */
export function packCalls(calls: readonly Call[]): Buffer {
  return Buffer.concat(
    calls.flatMap(({ actor = "", request, reply }) => [
      sizeOf(actor.length),
      Buffer.from(actor),
      sizeOf(request.length),
      request,
      sizeOf(reply?.length ?? anyReply),
      reply ?? new Uint8Array(),
    ]),
  );
}

/** Unpacks what `packCalls` packed. */
export function unpackExchanges(packed: Buffer): Exchange[] {
  const exchanges: Exchange[] = [];
  let at = 0;
  const take = (size: number) => {
    at += size;
    return packed.subarray(at - size, at);
  };
  while (at < packed.length) {
    const actor = take(take(4).readUInt32BE()).toString();
    const body = lengthPrefixed(take(take(4).readUInt32BE()));
    if (body.length > maxBodyBytes) throw new Error("a request is longer than the window of a stream");
    const size = take(4).readUInt32BE();
    const expected = size === anyReply ? undefined : lengthPrefixed(take(size));
    const after = actor === "" ? {} : { after: headerBlock([["x-acting-user", actor]]) };
    exchanges.push({ ...after, frames: dataFrames(body), expected });
  }
  return exchanges;
}

function sizeOf(bytes: number): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(bytes);
  return size;
}
