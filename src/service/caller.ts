import type { HandlerContext } from "@connectrpc/connect";
import { actorKey, principalKey } from "../call/auth/authenticator.ts";
import { tokenFlawKey } from "../call/auth/tokens.ts";
import { requestHeaderOf } from "../call/context.ts";
import { PrivacyError, UnknownActorError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import { idempotencyKeyHeader } from "../domain/wire-names.ts";

/**
 * Runs an operation for the acting user of a call. When the store does not know that user, the error depends on how the
 * call names the user: by its token, or in the metadata of a service.
 */
export async function withActingUser<T>(
  context: HandlerContext,
  run: (actor: UserId) => Promise<T>,
): Promise<T> {
  const actor = context.values.get(actorKey);
  if (actor === undefined) throw new Error(`${context.method} is served without an acting user`);
  try {
    return await run(actor.id);
  } catch (failure) {
    if (!(failure instanceof UnknownActorError)) throw failure;
    if (actor.whenUnknown === "TOKEN_INVALID") context.values.set(tokenFlawKey, "user");
    throw new PrivacyError(actor.whenUnknown);
  }
}

/** The name of the service that makes a call: the subject of its token. */
export function callingService(context: HandlerContext): string {
  const principal = context.values.get(principalKey);
  if (principal?.kind !== "service") throw new Error(`${context.method} is served without a calling service`);
  return principal.name;
}

/** Printable ASCII characters. */
const wellFormedKey = /^[ -~]{1,255}$/;

/**
 * The key by which a caller may repeat a call, undefined when there is none. A key belongs to the acting user. Throws
 * `INVALID_IDEMPOTENCY_KEY`.
 */
export function idempotencyKeyOf(context: HandlerContext): string | undefined {
  const key = requestHeaderOf(context, idempotencyKeyHeader);
  if (key === null) return undefined;
  if (!wellFormedKey.test(key)) throw new PrivacyError("INVALID_IDEMPOTENCY_KEY");
  return key;
}
