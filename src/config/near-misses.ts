/** A name in the environment that looks like a variable of ours and is none. */
export interface NearMiss {
  readonly name: string;
  /** The variable that may have been meant. */
  readonly meant: string;
}

/** Names that begin like this can only be meant for us. */
const ownPrefixes = ["CORS_", "JWT_", "JWKS_", "RATE_", "TLS_"];
/** A shorter name is one edit away from ordinary words. */
const minEditedLength = 6;
/** What Kubernetes sets in every container for each service of its namespace, whatever that is called. */
const serviceLink = /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)/;

/**
 * The names that differ from one of ours by case, by underscores or by one edit (a letter more, less, another or
 * swapped with its neighbour), and unknown ones that begin as only ours do. Looks at no values but those by which
 * Kubernetes marks its own variables.
 */
export function findNearMisses(environment: NodeJS.ProcessEnv, ours: readonly string[]): NearMiss[] {
  return Object.entries(environment)
    .filter(
      ([name, value]) => !ours.includes(name) && !serviceLink.test(name) && !value?.startsWith("tcp://"),
    )
    .flatMap(([name]) => {
      const meant = likeliest(name, ours);
      return meant === undefined ? [] : [{ name, meant }];
    });
}

function likeliest(name: string, ours: readonly string[]): string | undefined {
  const isNear = (meant: string) => {
    const edits = editsBetween(bare(name), bare(meant));
    return edits === 0 || (edits === 1 && bare(meant).length >= minEditedLength);
  };
  const near = ours.find(isNear);
  if (near !== undefined || !ownPrefixes.some((prefix) => name.toUpperCase().startsWith(prefix))) return near;
  return ours.toSorted((a, b) => sharedStart(name, b) - sharedStart(name, a))[0];
}

/** How many letters two names have in common from their beginning. */
function sharedStart(a: string, b: string): number {
  const [letters, others] = [bare(a), bare(b)];
  let count = 0;
  while (count < letters.length && letters[count] === others[count]) count++;
  return count;
}

function bare(name: string): string {
  return name.toUpperCase().replaceAll(/[_-]/g, "");
}

/** The Damerau-Levenshtein distance, in which a pair of neighbours is swapped once at most. */
function editsBetween(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let row = 1; row <= a.length; row++) {
    rows.push([row]);
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwap = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      rows[row]?.push(
        Math.min(
          at(row - 1, column) + 1,
          at(row, column - 1) + 1,
          at(row - 1, column - 1) + (isSame ? 0 : 1),
          isSwap ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
  }
  return at(a.length, b.length);
}
