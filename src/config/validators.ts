import { EnvError, makeValidator, type ValidatorSpec } from "envalid";

/** How the value of a variable is told to the operator. */
type Show<T> = (value: T) => string;

/** How a secret is told: as nothing but its presence. */
export const hidden: Show<unknown> = () => "***";

/** How a URL is told that may hold credentials, in its authority or in its parameters. */
const withoutCredentials: Show<URL | string> = (value) => {
  const url = new URL(value);
  if (url.password !== "") url.password = "***";
  // A database's user is a role; one of HTTP may be a key.
  if (url.username !== "" && url.protocol.startsWith("http")) url.username = "***";
  if (url.search !== "") url.search = "?***";
  url.hash = "";
  return url.href;
};

/**
 * A validator of one variable; `parse` returns undefined for a text that breaks the rule, `show` is how the value is
 * told to the operator.
 *
 * envalid's own validators repeat the value in their messages, and a value may be a secret.
 */
export function checked<T>(rule: string, parse: (text: string) => T | undefined, show: Show<T>) {
  const validator = makeValidator<T>((text) => {
    const value = parse(text);
    if (value === undefined) throw new EnvError(`must be ${rule}`);
    return value;
  });
  return ((spec: object) => ({ ...validator(spec as never), show })) as typeof validator;
}

/** The value of a variable as the operator may see it, null when there is none. */
export function shown(spec: ValidatorSpec<unknown>, value: unknown): string | null {
  if (value === undefined) return null;
  const show = "show" in spec ? (spec.show as Show<unknown>) : hidden;
  return show(value);
}

export const text = checked("text", (value) => value, String);

/** A text that is compared exactly: white space at its ends is refused, since it is there by mistake. */
export const trimmed = checked(
  "text without white space at its ends",
  (value) => (value === value.trim() ? value : undefined),
  String,
);

export const oneOf = <const T extends string>(...choices: T[]) =>
  checked(`one of ${choices.join(", ")}`, (value) => choices.find((choice) => choice === value), String);

export const httpUrl = checked(
  "an http:// or https:// URL",
  (value) => {
    const url = URL.parse(value);
    return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
  },
  withoutCredentials,
);

/** A path without a slash at its end. */
export const path = checked(
  "a path such as /privacy, without a slash at its end",
  (value) => (/^(?:\/[\w.~-]+)+$/.test(value) ? value : undefined),
  String,
);

/** A whole number in decimal digits, from `min` to `max`. */
export const wholeNumber = (what: string, min: number, max: number) =>
  checked(
    `${what} from ${min} to ${max}`,
    (value) => {
      const number = Number(value);
      return /^\d{1,15}$/.test(value) && number >= min && number <= max ? number : undefined;
    },
    String,
  );

export const port = wholeNumber("a port", 0, 65_535);

/** A length of time; ten minutes is more than anything here may wait. */
export const milliseconds = wholeNumber("milliseconds", 0, 600_000);
