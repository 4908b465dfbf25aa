import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { scope } from "../../../gen/nexgate/auth/v1/scope_pb.ts";
import { PrivacyError } from "../../domain/errors.ts";
import { parseUserId } from "../../domain/ids.ts";
import { requestHeaderOf } from "../context.ts";
import { actorKey, type Principal, principalKey } from "./principal.ts";
import { TokenRefused, tokenFlawKey } from "./refused-token.ts";
import type { Claims, VerifyToken } from "./tokens.ts";

/**
 * Admits a call by its headers alone, before its body is read, or throws a `PrivacyError`. At once when its token is
 * known, as it is in nearly every call, to spare that its promises.
 */
export type Authenticator = (context: HandlerContext) => void | Promise<void>;

/** The metadata in which a service names the user for whom it acts. */
const actingUserHeader = "x-acting-user";
/** The scope of the methods that act for a user. */
const actScope = "users.act";

/** The gate of the public listener: users' tokens only, and only for methods that act for a user. */
export function authenticateUser(verify: VerifyToken): Authenticator {
  return admitting(verify, (context, claims) => {
    const id = parseUserId(claims.subject);
    if (id === undefined) throw new TokenRefused("TOKEN_INVALID", "user");
    if (scopeOf(context.method) !== actScope) throw new PrivacyError("SCOPE_MISSING");
    context.values.set(principalKey, { kind: "user", userId: id });
    context.values.set(actorKey, { id, whenUnknown: "TOKEN_INVALID" });
  });
}

/** The gate of the internal listener: services' tokens only, with the scope of the method. */
export function authenticateService(verify: VerifyToken): Authenticator {
  // A token that is remembered has the same claims, to the object, in every call.
  const principals = new WeakMap<object, Principal & { kind: "service" }>();
  return admitting(verify, (context, claims) => {
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

function admitting(
  verify: VerifyToken,
  admit: (context: HandlerContext, claims: Claims) => void,
): Authenticator {
  const refuse = (context: HandlerContext, failure: unknown): never => {
    if (failure instanceof TokenRefused) context.values.set(tokenFlawKey, failure.flaw);
    throw failure;
  };
  return (context) => {
    try {
      const claims = verify(requestHeaderOf(context, "authorization"));
      if (claims instanceof Promise)
        return claims
          .then((verified) => admit(context, verified))
          .catch((failure) => refuse(context, failure));
      admit(context, claims);
    } catch (failure) {
      refuse(context, failure);
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

/** Reading an option decodes it, which took a twelfth of the time of an empty call. */
const scopes = new WeakMap<DescMethod, string>();

function namedActor(context: HandlerContext) {
  const id = parseUserId(requestHeaderOf(context, actingUserHeader) ?? "");
  if (id === undefined) throw new PrivacyError("INVALID_ACTING_USER");
  return { id, whenUnknown: "USER_NOT_FOUND" } as const;
}
