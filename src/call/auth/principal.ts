import { createContextKey } from "@connectrpc/connect";
import type { ErrorReason } from "../../domain/errors.ts";
import type { UserId } from "../../domain/ids.ts";

/** Who calls: a user with a user's token, or another service of the network. */
export type Principal =
  | { readonly kind: "user"; readonly userId: UserId }
  | { readonly kind: "service"; readonly name: string; readonly scopes: ReadonlySet<string> };

/** The user for whom a call acts, not yet known to exist: the operation's own statement decides that. */
export interface Actor {
  readonly id: UserId;
  /** What the caller is told when there is no such user: it depends on where the id came from. */
  readonly whenUnknown: Extract<ErrorReason, "TOKEN_INVALID" | "USER_NOT_FOUND">;
}

/** Set by the gate on every call that needed a token. */
export const principalKey = createContextKey<Principal | undefined>(undefined, { description: "principal" });

/** Set by the gate on every call of a method that acts for a user. */
export const actorKey = createContextKey<Actor | undefined>(undefined, { description: "acting user" });
