import { actingUserHeader, consistencyTokenHeader, idempotencyKeyHeader } from "../domain/wire-names.ts";

/** For whom a call is made, and how. */
export interface CallHeaders {
  /** A service's token on the internal port, a user's on the public one. */
  readonly token: string;
  /** The UUID of the user for whom a service acts: for `PrivacyControlService` on the internal port, and nowhere else. */
  readonly actingUser?: string | undefined;
  /**
   * For a block or a mute that may be repeated: 1 to 255 printable ASCII characters, such as a random UUID. Choose it
   * when the user acts, and keep it for all repetitions.
   */
  readonly idempotencyKey?: string | undefined;
}

/** The request headers of a call: `headers` in the options of Connect's clients and of `fetch`. */
export function callHeaders({ token, actingUser, idempotencyKey }: CallHeaders): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    ...(actingUser === undefined ? {} : { [actingUserHeader]: actingUser }),
    ...(idempotencyKey === undefined ? {} : { [idempotencyKeyHeader]: idempotencyKey }),
  };
}

/** The headers of a response: the `Headers` of Connect and `fetch`, or the `Metadata` of grpc-js. */
export interface ResponseHeaders {
  get(name: string): string | null | readonly (string | Uint8Array)[];
}

/** The consistency token of a change, from the headers of its response; undefined when there is none. */
export function consistencyTokenOf(headers: ResponseHeaders): string | undefined {
  const values = headers.get(consistencyTokenHeader);
  const value = typeof values === "string" ? values : values?.[0];
  return typeof value === "string" ? value : undefined;
}
