import { type CallOptions, type Client, Code, ConnectError } from "@connectrpc/connect";
import type { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { User } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { parseUserId } from "../domain/users.ts";
import { printable, tableLines } from "./terminal-text.ts";

/** The most characters of a user's name. */
const maxNameLength = 64;
/** The service names no more users than that. */
const maxFound = 10;

/** A user whom a person has named is unknown, or could be one of several. */
class UnclearUserError extends Error {
  override readonly name = "UnclearUserError";
}

/** A viewer and an owner. The viewer is undefined when signed out. */
interface Pair<Named> {
  readonly viewer: Named | undefined;
  readonly owner: Named;
}

/**
 * Returns the users whom a person has named by id or user name. Throws an `UnclearUserError` that says which of them is
 * unknown, and who could be meant by a name of several.
 */
export async function findPair(
  { viewer, owner }: Pair<string>,
  client: Client<typeof GraphService>,
  call: CallOptions,
): Promise<Pair<User>> {
  const find = async (part: string, given: string) => {
    const found = await usersOf(given, client, call);
    const [user] = found;
    return user !== undefined && found.length === 1 ? user : problemOf(part, given, found);
  };
  const [foundViewer, foundOwner] = await Promise.all([
    viewer === undefined ? undefined : find("viewer", viewer),
    find("owner", owner),
  ]);
  if (typeof foundViewer === "string" || typeof foundOwner === "string")
    throw new UnclearUserError(
      [foundViewer, foundOwner].filter((problem) => typeof problem === "string").join("\n"),
    );
  return { viewer: foundViewer, owner: foundOwner };
}

async function usersOf(
  given: string,
  client: Client<typeof GraphService>,
  call: CallOptions,
): Promise<User[]> {
  const userId = parseUserId(given);
  if (userId === undefined)
    return given === "" || [...given].length > maxNameLength
      ? []
      : (await client.findUsers({ userName: given }, call)).users;
  try {
    const { user } = await client.getUser({ userId }, call);
    return user === undefined ? [] : [user];
  } catch (failure) {
    if (failure instanceof ConnectError && failure.code === Code.NotFound) return [];
    throw failure;
  }
}

function problemOf(part: string, given: string, found: readonly User[]): string {
  const text = printable(given);
  if (found.length === 0)
    return parseUserId(given) === undefined
      ? `The ${part} is unknown: no user is named "${text}".`
      : `The ${part} is unknown: no user has the id ${text}.`;
  const count = found.length < maxFound ? found.length : `${maxFound} or more`;
  const users = found.map(({ id, userName, firstName, lastName }) => [
    id,
    printable(userName),
    printable(`${firstName} ${lastName}`),
  ]);
  return [
    `The ${part} is not clear: ${count} users are named "${text}". Give an id.`,
    ...tableLines(users),
  ].join("\n");
}
