import { distance } from "fastest-levenshtein";

/** A name in the environment that looks like a variable of the service and is none. */
export interface LikelyTypo {
  readonly name: string;
  /** The variable that may have been meant. */
  readonly meant: string;
}

/** Names that begin like this can only be meant for the service. */
const ownPrefixes = ["CORS_", "JWT_", "JWKS_", "RATE_", "TLS_"];
/** A shorter name is one edit away from ordinary words. */
const minEditedLength = 6;
/** What Kubernetes sets in every container for each service of its namespace, whatever that is called. */
const serviceLink = /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)/;

/**
 * The names that differ from a known one by case, by underscores or by one edit (a letter added, removed, replaced or
 * swapped with another), and unknown ones with a prefix that only the service uses. Values are read only to recognize the
 * variables of Kubernetes.
 */
export function findLikelyTypos(environment: NodeJS.ProcessEnv, known: readonly string[]): LikelyTypo[] {
  return Object.entries(environment)
    .filter(
      ([name, value]) => !known.includes(name) && !serviceLink.test(name) && !value?.startsWith("tcp://"),
    )
    .flatMap(([name]) => {
      const meant = closest(name, known);
      return meant === undefined ? [] : [{ name, meant }];
    });
}

function closest(name: string, known: readonly string[]): string | undefined {
  const near = known.find((meant) => isNear(normalized(name), normalized(meant)));
  if (near !== undefined || !ownPrefixes.some((prefix) => name.toUpperCase().startsWith(prefix))) return near;
  return known.toSorted((a, b) => sharedStart(name, b) - sharedStart(name, a))[0];
}

function isNear(name: string, meant: string): boolean {
  const edits = distance(name, meant);
  // Two swapped letters count as two edits.
  const isOneEdit = edits === 1 || (edits === 2 && sortedLetters(name) === sortedLetters(meant));
  return edits === 0 || (isOneEdit && meant.length >= minEditedLength);
}

/** How many letters two names have in common from their beginning. */
function sharedStart(a: string, b: string): number {
  const [letters, others] = [normalized(a), normalized(b)];
  let count = 0;
  while (count < letters.length && letters[count] === others[count]) count++;
  return count;
}

function normalized(name: string): string {
  return name.toUpperCase().replaceAll(/[_-]/g, "");
}

function sortedLetters(name: string): string {
  return [...name].sort().join("");
}
