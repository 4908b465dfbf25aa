import type { Interceptor } from "@connectrpc/connect";
import { toConnectError } from "./errors.ts";

/**
 * Maps whatever a handler throws, once, to what goes on the wire. A stream throws while it is read, after `next` has
 * returned, so its messages are watched too.
 */
export const mapErrors: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: watched(response.message) } : response;
  } catch (failure) {
    throw toConnectError(failure);
  }
};

async function* watched<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (failure) {
    throw toConnectError(failure);
  }
}
