import type { User, UserId } from "../domain/users.ts";
import type { Database } from "../store/database.ts";

function demoUser(
  id: string,
  userName: string,
  firstName: string,
  lastName: string,
  isVerified = false,
): User {
  return {
    id: id as UserId,
    userName,
    firstName,
    lastName,
    profilePictureUrls: [`https://cdn.nexgate.com/profiles/${userName}.jpg`],
    isVerified,
  };
}

const alice = demoUser("a11ce000-0000-4000-8000-000000000001", "alice", "Alice", "Mushi", true);
const bob = demoUser("b0b00000-0000-4000-8000-000000000002", "bob", "Bob", "Kimaro");
const carol = demoUser("ca401000-0000-4000-8000-000000000003", "carol", "Carol", "Ngowi");
const spam = demoUser("777e7777-e77b-77d7-a777-777777777777", "spam_account", "Spam", "Account");
const troll = demoUser("999e9999-e99b-99d9-a999-999999999999", "troll_user", "Troll", "User");
const noisy = demoUser("888e8888-e88b-88d8-a888-888888888888", "noisy_user", "Noisy", "User", true);
const oversharer = demoUser("100e1000-e10b-10d1-a100-100000000000", "oversharer", "Over", "Sharer");

/** The users of the published documents, and a few for them to meet. */
export const demoUsers: readonly User[] = [alice, bob, carol, spam, troll, noisy, oversharer];

/** The user for whom the examples act. */
export const demoActor = alice;

/** The users on whom the examples act. */
export const demoTargets = { block: spam, unblock: troll, mute: noisy };

const follows: readonly (readonly [User, User])[] = [
  [alice, bob],
  [bob, alice],
  [alice, carol],
  [alice, noisy],
  [alice, oversharer],
  [spam, alice],
  [troll, alice],
  [troll, bob],
  [noisy, carol],
];

/** Loads the demo users and their follows into an empty users table; leaves any other alone. */
export async function loadDemoData({ users, follows: store }: Database): Promise<void> {
  if (!(await users.isEmpty())) return;
  await users.upsert(demoUsers);
  for (const [follower, followee] of follows) await store.follow(follower.id, followee.id);
}
