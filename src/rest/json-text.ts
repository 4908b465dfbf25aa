/** The tokens of JSON that matter to where a name stands: strings, braces, brackets and commas. */
const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],]/g;

/**
 * Parses JSON whose objects have no name twice (RFC 7493, 2.3). `JSON.parse` takes the last of two values; a proxy
 * before us may have looked at the first. Throws a `SyntaxError`.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (hasNameTwice(text)) throw new SyntaxError("an object has a name twice");
  return value;
}

/** `text` must be JSON: then a string is a name when it is the first token after `{`, or after `,` in an object. */
function hasNameTwice(text: string): boolean {
  /** The names so far of every object around the place, undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let before = "";
  for (const [token] of text.matchAll(tokens)) {
    const names = open.at(-1);
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (token !== "," && names !== undefined && (before === "{" || before === ",")) {
      const name: string = token.includes("\\") ? JSON.parse(token) : token.slice(1, -1);
      if (names.has(name)) return true;
      names.add(name);
    }
    before = token;
  }
  return false;
}
