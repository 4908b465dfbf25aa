/** The id of a user: a UUID of any version, 8-4-4-4-12 hexadecimal digits in lower case. */
export type UserId = string & { readonly __brand: "UserId" };

/** A user as the accounts service described it. */
export interface User {
  readonly id: UserId;
  readonly userName: string;
  readonly firstName: string;
  readonly lastName: string;
  readonly profilePictureUrls: readonly string[];
  readonly isVerified: boolean;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Reads a user id in either case; undefined when the text is no UUID. */
export function parseUserId(text: string): UserId | undefined {
  const id = text.toLowerCase();
  return uuid.test(id) ? (id as UserId) : undefined;
}

/** The UUID of 32 hexadecimal digits. */
export function formatUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
