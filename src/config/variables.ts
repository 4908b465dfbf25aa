/** The environment cannot be used. The message names every variable at fault, and never repeats a value. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** An environment variable. */
export interface Variable<T> {
  /** Returns the value of a text. Returns undefined when the text breaks the rule. */
  parse(text: string): T | undefined;
  /** What a text must be. */
  readonly rule: string;
  /** The value as an operator may see it. */
  show(value: T): string;
  /** The value of an unset variable. */
  readonly fallback: T;
}

type Variables = Readonly<Record<string, Variable<unknown>>>;

/** The values of variables, by name. */
export type Values<All extends Variables> = {
  readonly [Name in keyof All]: All[Name] extends Variable<infer T> ? T : never;
};

/**
 * Reads variables; an empty one counts as unset. `problems` says what is wrong with them. The value of a malformed variable
 * is undefined, whatever its type.
 */
export function readVariables<All extends Variables>(environment: NodeJS.ProcessEnv, variables: All) {
  const problems: string[] = [];
  const entries = Object.entries(variables).map(([name, { parse, rule, fallback }]) => {
    const text = environment[name] ?? "";
    if (text === "") return [name, fallback];
    const value = parse(text);
    if (value === undefined) problems.push(`${name} must be ${rule}`);
    return [name, value];
  });
  return { env: Object.fromEntries(entries) as Values<All>, problems };
}

/** Throws a `ConfigError` that lists the problems, if there are any. */
export function throwProblems(problems: readonly string[]): void {
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
}

/** The value of a variable as an operator may see it, null when there is none. */
export function shown(variable: Variable<unknown>, value: unknown): string | null {
  return value === undefined ? null : variable.show(value);
}

/** Makes a kind of variables. Call the kind with the value of an unset variable, undefined for none. */
export function kind<T>(rule: string, parse: (text: string) => T | undefined, show: (value: T) => string) {
  function variable(): Variable<T | undefined>;
  function variable(fallback: T): Variable<T>;
  function variable(fallback?: T): Variable<T | undefined> {
    return { rule, parse, fallback, show: (value) => (value === undefined ? "" : show(value)) };
  }
  return variable;
}

export const text = kind("text", (value) => value, String);

/** A text that is compared exactly. White space at its ends is a mistake, and refused. */
export const trimmed = kind(
  "text without white space at its ends",
  (value) => (value === value.trim() ? value : undefined),
  String,
);

/** A text that is never shown. */
export const secret = (minBytes: number) =>
  kind(
    `at least ${minBytes} bytes, without white space at its ends`,
    (value) => (value === value.trim() && Buffer.byteLength(value) >= minBytes ? value : undefined),
    () => "***",
  );

export const oneOf = <const T extends string>(...choices: T[]) =>
  kind(`one of ${choices.join(", ")}`, (value) => choices.find((choice) => choice === value), String);

export const onOrOff = oneOf("on", "off");

export const httpUrl = kind(
  "an http:// or https:// URL",
  (value) => {
    const url = URL.parse(value);
    return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
  },
  withoutCredentials,
);

/** A whole number in decimal digits, from `min` to `max`. */
export const wholeNumber = (what: string, min: number, max: number) =>
  kind(
    `${what} from ${min} to ${max}`,
    (value) => {
      const number = Number(value);
      return /^\d{1,15}$/.test(value) && number >= min && number <= max ? number : undefined;
    },
    String,
  );

export const port = wholeNumber("a port", 0, 65_535);

/** The URL as an operator may see it: without credentials, which may be in its authority and in its parameters. */
function withoutCredentials(value: URL): string {
  const url = new URL(value);
  if (url.username !== "") url.username = "***";
  if (url.password !== "") url.password = "***";
  if (url.search !== "") url.search = "?***";
  url.hash = "";
  return url.href;
}
