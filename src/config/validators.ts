import { EnvError, makeValidator } from "envalid";

/**
 * A validator of one variable; `parse` returns undefined for a text that breaks the rule.
 *
 * envalid's own validators repeat the value in their messages, and a value may be a secret.
 */
export function checked<T>(rule: string, parse: (text: string) => T | undefined) {
  return makeValidator<T>((text) => {
    const value = parse(text);
    if (value === undefined) throw new EnvError(`must be ${rule}`);
    return value;
  });
}

export const text = checked("text", (value) => value);

export const oneOf = <const T extends string>(...choices: T[]) =>
  checked(`one of ${choices.join(", ")}`, (value) => choices.find((choice) => choice === value));

/** A whole number in decimal digits, from `min` to `max`. */
export const wholeNumber = (what: string, min: number, max: number) =>
  checked(`${what} from ${min} to ${max}`, (value) => {
    const number = Number(value);
    return /^\d{1,15}$/.test(value) && number >= min && number <= max ? number : undefined;
  });

export const port = wholeNumber("a port", 0, 65_535);

/** A length of time; ten minutes is more than anything here may wait. */
export const milliseconds = wholeNumber("milliseconds", 0, 600_000);
