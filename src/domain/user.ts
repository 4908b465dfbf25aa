import type { UserId } from "./ids.ts";

/** A user as the accounts service described it. */
export interface User {
  readonly id: UserId;
  readonly userName: string;
  readonly firstName: string;
  readonly lastName: string;
  readonly profilePictureUrls: readonly string[];
  readonly isVerified: boolean;
}
