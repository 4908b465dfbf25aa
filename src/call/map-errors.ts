import type { Interceptor } from "@connectrpc/connect";
import { PrivacyError } from "../domain/errors.ts";
import { isDisconnect } from "./client-disconnect.ts";
import { toConnectError } from "./errors.ts";

/**
 * Maps whatever a handler throws, once, to what goes on the wire. A stream throws while it is read, after `next` has
 * returned, so its messages are watched too. What a handler reads from a client that has gone is no fault of its own.
 */
export const mapErrors: Interceptor = (next) => async (request) => {
  try {
    const response = await next(
      request.stream ? { ...request, message: watched(request.message, fromClient) } : request,
    );
    return response.stream ? { ...response, message: watched(response.message, toConnectError) } : response;
  } catch (failure) {
    throw toConnectError(failure);
  }
};

async function* watched<T>(messages: AsyncIterable<T>, map: (failure: unknown) => unknown): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (failure) {
    throw map(failure);
  }
}

function fromClient(failure: unknown): unknown {
  return isDisconnect(failure) ? new PrivacyError("CANCELLED", { cause: failure }) : failure;
}
