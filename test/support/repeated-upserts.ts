import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";

/** Attempts to store users: a busy machine may be slow to open the first connections to the database. */
const mostTries = 10;

/** Retries a call while it is UNAVAILABLE: tests use `UpsertUsers` only to prepare their users. */
export const repeatedUpserts: Interceptor = (next) => async (request) => {
  for (let tries = 1; ; tries++) {
    try {
      return await next(request);
    } catch (failure) {
      const isOver = request.method !== GraphService.method.upsertUsers || tries === mostTries;
      if (isOver || ConnectError.from(failure).code !== Code.Unavailable) throw failure;
    }
  }
};
