import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { scope } from "../../../gen/nexgate/auth/v1/scope_pb.ts";
import { type ErrorReason, PrivacyError } from "../../domain/errors.ts";
import { parseUserId, type UserId } from "../../domain/users.ts";
import { actingUserHeader } from "../../domain/wire-names.ts";
import { requestHeaderOf } from "../context.ts";
import { type Claims, InvalidTokenError, tokenFlawKey, type VerifyToken } from "./tokens.ts";

/** The caller: a user with a user's token, or another service of the network. */
export type Principal =
  | { readonly kind: "user"; readonly userId: UserId }
  | { readonly kind: "service"; readonly name: string; readonly scopes: ReadonlySet<string> };

/** The user for whom a call acts, not yet known to exist: the operation's own statement decides that. */
export interface Actor {
  readonly id: UserId;
  /** The reason of the failure when there is no such user: it depends on where the id came from. */
  readonly whenUnknown: Extract<ErrorReason, "TOKEN_INVALID" | "USER_NOT_FOUND">;
}

/** Set on every call that needed a token. */
export const principalKey = createContextKey<Principal | undefined>(undefined, { description: "principal" });

/** Set on every call of a method that acts for a user. */
export const actorKey = createContextKey<Actor | undefined>(undefined, { description: "acting user" });

/**
 * Authenticates the caller of a call by its headers alone, before its body is read: sets principal and actor, or throws
 * a `PrivacyError`. At once when the token is cached, as it is in nearly every call.
 */
export type Authenticator = (context: HandlerContext) => void | Promise<void>;

/** The scope of the methods that act for a user. */
const actScope = "users.act";

/** Makes the authenticator of the public listener: users' tokens only, and only for methods that act for a user. */
export function userAuthenticator(verify: VerifyToken): Authenticator {
  return authenticating(verify, (context, claims) => {
    const id = parseUserId(claims.subject);
    if (id === undefined) throw new InvalidTokenError("TOKEN_INVALID", "user");
    if (scopeOf(context.method) !== actScope) throw new PrivacyError("SCOPE_MISSING");
    context.values.set(principalKey, { kind: "user", userId: id });
    context.values.set(actorKey, { id, whenUnknown: "TOKEN_INVALID" });
  });
}

/** Makes the authenticator of the internal listener: services' tokens only, with the scope of the method. */
export function serviceAuthenticator(verify: VerifyToken): Authenticator {
  // A cached token has the same claims object in every call.
  const principals = new WeakMap<object, Principal & { kind: "service" }>();
  return authenticating(verify, (context, claims) => {
    let principal = principals.get(claims);
    if (principal === undefined) {
      principal = { kind: "service", name: claims.subject, scopes: claims.scopes };
      principals.set(claims, principal);
    }
    context.values.set(principalKey, principal);
    const needed = scopeOf(context.method);
    if (!principal.scopes.has(needed)) throw new PrivacyError("SCOPE_MISSING");
    if (needed === actScope) context.values.set(actorKey, namedActor(context));
  });
}

function authenticating(
  verify: VerifyToken,
  admit: (context: HandlerContext, claims: Claims) => void,
): Authenticator {
  const reject = (context: HandlerContext, failure: unknown): never => {
    if (failure instanceof InvalidTokenError) context.values.set(tokenFlawKey, failure.flaw);
    throw failure;
  };
  return (context) => {
    try {
      const claims = verify(requestHeaderOf(context, "authorization"));
      if (claims instanceof Promise)
        return claims
          .then((verified) => admit(context, verified))
          .catch((failure) => reject(context, failure));
      admit(context, claims);
    } catch (failure) {
      reject(context, failure);
    }
  };
}

/** The scope that a method's definition asks for. Throws for a method that has none: it must not be served. */
export function scopeOf(method: DescMethod): string {
  const known = scopes.get(method);
  if (known !== undefined) return known;
  const needed = hasOption(method, scope) ? getOption(method, scope) : "";
  if (needed === "") throw new Error(`${method} has no (nexgate.auth.v1.scope)`);
  scopes.set(method, needed);
  return needed;
}

/** The scopes that were read: reading an option decodes it. */
const scopes = new WeakMap<DescMethod, string>();

function namedActor(context: HandlerContext) {
  const id = parseUserId(requestHeaderOf(context, actingUserHeader) ?? "");
  if (id === undefined) throw new PrivacyError("INVALID_ACTING_USER");
  return { id, whenUnknown: "USER_NOT_FOUND" } as const;
}
