import { userToken } from "../../../src/development/token-issuer.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type Instance, minting } from "./instance.ts";

/** A caller: its headers, and what each listener must answer to a method that it serves. */
export interface Caller {
  readonly who: string;
  readonly headers: Record<string, string>;
  readonly public: "OK" | "Unauthenticated";
  readonly internal: "OK" | "Unauthenticated" | "PermissionDenied" | "InvalidArgument";
}

const scopes = ["access.explain", "access.read", "changes.read", "graph.read", "graph.write", "users.act"];

/** Every kind of caller, authorized or not, of a method that needs a scope. */
export async function callersOf(
  instance: Instance,
  scope: string,
  user: string,
  other: string,
): Promise<Caller[]> {
  const bearer = (token: string, acting?: string) => ({
    authorization: `Bearer ${token}`,
    ...(acting === undefined ? {} : { "x-acting-user": acting }),
  });
  const expired = await userToken(user as UserId, { ...minting, hours: -1 });
  const good = await instance.userToken(user);
  const holder = await instance.serviceToken(scope);
  const others = await instance.serviceToken(scopes.filter((held) => held !== scope).join(" "));
  const none = await instance.serviceToken("");

  const nowhere = { public: "Unauthenticated", internal: "Unauthenticated" } as const;
  const denied = { public: "Unauthenticated", internal: "PermissionDenied" } as const;
  const publicly = { public: "OK", internal: "Unauthenticated" } as const;
  const internally = { public: "Unauthenticated", internal: "OK" } as const;
  return [
    { who: "nobody", headers: {}, ...nowhere },
    { who: "an expired user", headers: bearer(expired), ...nowhere },
    { who: "a user", headers: bearer(good), ...publicly },
    { who: "a user who names another", headers: bearer(good, other), ...publicly },
    { who: "a service without the scope", headers: bearer(others, user), ...denied },
    { who: "a service without any scope", headers: bearer(none, user), ...denied },
    { who: "a service", headers: bearer(holder, user), ...internally },
    {
      who: "a service that names nobody",
      headers: bearer(holder),
      ...internally,
      internal: scope === "users.act" ? "InvalidArgument" : "OK",
    },
  ];
}
